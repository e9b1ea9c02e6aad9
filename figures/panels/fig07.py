"""Figure 7: images. (a) ImageGPT on single images; (b) classifiers on batches, a transformer and a VGG."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

from figures.evidence.runs import Family, Runs
from figures.panels.curves import Curves, Line

__all__ = ["PANELS", "ImageCurves"]


_NAMES = {"small": "ImageGPT small", "medium": "ImageGPT medium", "vit": "ViT", "vgg": "VGG-19"}


@dataclass(frozen=True)
class ImageCurves(Curves):
    """Recovery curves whose tasks are images, or batches of them.

    Attributes:
        tasks: what a task is called.
        unit: what the loss is a mean over.
    """

    tasks: str = "images"
    unit: str = "pixel"

    def lines(self, found: Family) -> list[Line]:
        """One per network, by its name."""
        return [Line(_NAMES[member.preset.label], member.losses) for member in found.members]

    def draw(self, runs: Runs) -> Figure:
        """Curves and scores.

        Raises:
            MissingRuns: when no member of the family has a run.
        """
        figure = super().draw(runs)
        figure.axes[0].set_ylabel(f"loss (nats per {self.unit})")
        return figure

    def caption(self, runs: Runs) -> str:
        """What is drawn, in words."""
        words = super().caption(runs).replace("nats per token", f"nats per {self.unit}")
        return words.replace("averaged over documents", f"averaged over {self.tasks}").replace(
            "the document is trained", "the task is trained"
        )


PANELS = {
    "7a": ImageCurves("7a", "fig7a", "causal image modelling"),
    "7b": ImageCurves("7b", "fig7b", "image classification", tasks="batches", unit="image"),
}
