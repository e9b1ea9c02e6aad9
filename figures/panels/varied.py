"""The paper's figures that vary one thing and show recovery curves, as data."""

from __future__ import annotations

from figures.panels.curves import Curves

__all__ = ["PANELS"]

PANELS: dict[str, Curves] = {
    curves.figure: curves
    for curves in (
        Curves("1a", "fig1", "loss on document 1", align="document", bars=False),
        Curves("1b", "fig1", "all documents, shift-averaged"),
        Curves("2a", "fig2a", "model size, pretrained", scales=("pretrained",)),
        Curves("2b", "fig2b", "model size, random weights", scales=("small", "pythia")),
        Curves("3a", "fig3-width", "width"),
        Curves("3b", "fig3-depth", "depth"),
        Curves("4a", "fig4-mask", "random masking"),
        Curves("4b", "fig4-shift", "random window shift"),
        Curves("5a", "fig5-documents", "number of documents", by_epoch=True),
        Curves("5b", "fig5-steps", "gradient steps per episode"),
        Curves("5c", "fig5-context", "context length"),
        Curves("5d", "fig5-frozen", "frozen blocks"),
        Curves("6", "fig6", "optimizer"),
        Curves("7a", "fig7a", "causal image modelling", task=("image", "images"), unit="pixel",
               names={"small": "ImageGPT small", "medium": "ImageGPT medium"}),
        Curves("7b", "fig7b", "image classification", task=("batch", "batches"), unit="image",
               names={"vit": "ViT", "vgg": "VGG-19"}),
        Curves("12", "fig12", "documents 2 to N shuffled every epoch", align="document"),
        Curves("13", "fig13", "rate of one-step training"),
        Curves("14", "fig14", "attention heads", align="document"),
        Curves(
            "15", "fig15", "scheme of random weights", align="document", scales=("small", "pythia")
        ),
        Curves("16a", "fig16a", "steps at the same total update"),
        Curves("16b", "fig16b", "steps for a long context"),
        Curves("sec4", "sec4", "neighbours reversed in the last epoch"),
        Curves("control", "control", "order of the documents"),
    )
}  # fmt: skip
"""By the paper's figure; `sec4` is the text of its section 4, and `control` the controls that it lacks."""
