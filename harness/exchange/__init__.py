"""Records that come from elsewhere or go there: importing, merging, exporting."""
