"""Images, checkpoints and datasets in the public formats, made at test time."""

import io

import numpy as np
import PIL.Image


def picture(seed, width=20, height=16):
    """A smooth random picture in colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC)


def png(image):
    """The bytes of a picture's file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write_folder(root, classes=("ant", "bee", "cat"), each=4):
    """One subfolder of pictures per class."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(each):
            picture(100 * label + number).save(root / name / f"{number}.png")
    return root


def dataset(labels, names=("ant", "bee", "cat"), column="label"):
    """A table of pictures and class labels, as datasets on the hub are."""
    import datasets

    columns = {"img": datasets.Image(), column: datasets.ClassLabel(names=list(names))}
    rows = {
        "img": [{"bytes": png(picture(seed)), "path": None} for seed in range(len(labels))],
        column: list(labels),
    }
    return datasets.Dataset.from_dict(rows, features=datasets.Features(columns))


def imagegpt(folder, colours=16, side=6, dropout=0.1):
    """A tiny ImageGPT with its palette, as its public checkpoints are; the folder."""
    import torch
    from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling, ImageGPTImageProcessorPil

    torch.manual_seed(3)
    config = ImageGPTConfig(
        vocab_size=colours + 1, n_positions=side**2, n_embd=16, n_layer=2, n_head=2, attn_pdrop=dropout,
        embd_pdrop=dropout, resid_pdrop=dropout,
    )  # fmt: skip
    ImageGPTForCausalImageModeling(config).save_pretrained(folder)
    palette = np.random.default_rng(4).uniform(-1, 1, (colours, 3))
    ImageGPTImageProcessorPil(clusters=palette, size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def vit(folder, labels=("ant", "bee", "cat"), side=16):
    """A tiny ViT of the hub with its processor; the folder."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(5)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=side,
        patch_size=8, id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": side, "width": side}).save_pretrained(folder)
    return folder
