"""Images as tasks: causal image modelling with ImageGPT (Fig. 7a) and classification (Fig. 7b).

Image modelling is language modelling whose tokens are colours, so the tasks of documents serve it; a
classification task is a batch of images with their classes. Both give the loop what every task gives it.
Imports what `llm.tasks` imports, and that room for what images share with documents.
"""
