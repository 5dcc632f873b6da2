"""The pool of earlier translations, of which a discriminator sees some instead of the newest."""

from __future__ import annotations

from typing import Any

import torch


class ImagePool:
    """At most `size` images; once full, a query returns earlier images half the time (Shrivastava et al. 2017).

    A pool of size 0 returns what it receives.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size, self.generator = size, generator
        self.images: list[torch.Tensor] = []

    def query(self, images: torch.Tensor) -> torch.Tensor:
        """Return as many images, detached: the new ones, or earlier ones whose places the new ones take."""
        images = images.detach()
        if self.size == 0:
            return images
        out = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image.clone())
                out.append(image)
            elif torch.rand((), generator=self.generator).item() < 0.5:
                place = int(torch.randint(self.size, (), generator=self.generator))
                out.append(self.images[place])
                self.images[place] = image.clone()
            else:
                out.append(image)
        return torch.stack(out)

    def state_dict(self) -> dict[str, Any]:
        """Return the images and the generator's state."""
        return {"images": [i.cpu() for i in self.images], "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore the pool from a state."""
        self.images = [i.to(device) for i in state["images"]]
        self.generator.set_state(state["generator"])
