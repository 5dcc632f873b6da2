"""The pool of earlier translations that a discriminator sees in place of some of the newest."""

from __future__ import annotations

from typing import Any

import torch


class ImagePool:
    """At most `size` images; once full, half of what is asked for is an earlier image (Shrivastava et al. 2017).

    A pool of size 0 gives back what it is given.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size, self.generator = size, generator
        self.images: list[torch.Tensor] = []

    def query(self, images: torch.Tensor) -> torch.Tensor:
        """As many images as given, detached: new ones, or earlier ones that new ones then replace."""
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
        """Images and the generator's state."""
        return {"images": [i.cpu() for i in self.images], "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Puts the pool where it was."""
        self.images = [i.to(device) for i in state["images"]]
        self.generator.set_state(state["generator"])
