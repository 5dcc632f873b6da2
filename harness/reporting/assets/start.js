// The start, once all parts of the script are there.

useIndex(data("index"));
explorer = setupExplorer();
document.querySelectorAll(".board").forEach(setupBoard);
linkHeadings(document);
addEventListener("hashchange", followHash);
if (location.hash) followHash();
if (typeof startLive === "function") startLive();
