"""Two entries of a campaign, of tiny runs."""

from llm.launch.campaign import Entry

TINY = {
    "model": "pythia-14m", "width": 16, "depth": 2, "heads": 2, "feed_forward": 32, "context": 8,
    "num_documents": 4, "steps": 1, "epochs": 2,
}  # fmt: skip


TWO = (
    Entry("one", "?", {"a": ("fig2b-160m", TINY), "b": ("fig6-adam", TINY)}, (0,)),
    Entry("two", "?", {"same": ("fig6-gd", TINY), "c": ("fig18-50", TINY | {"num_documents": 6})}, (0,)),
)
