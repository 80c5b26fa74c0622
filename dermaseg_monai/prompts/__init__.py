"""SAM and MedSAM: prompts, the promptable network, cached embeddings, fine-tuning and comparison."""

from __future__ import annotations

from dermaseg_monai.prompts.architecture import ARCHITECTURES, build_sam
from dermaseg_monai.prompts.cache import EmbeddingCache
from dermaseg_monai.prompts.checkpoints import best_weights, load_checkpoint
from dermaseg_monai.prompts.clicks import click_through, clicks_needed, corrective_click
from dermaseg_monai.prompts.comparison import PromptComparison, format_table
from dermaseg_monai.prompts.evaluator import PromptEvaluator
from dermaseg_monai.prompts.export import export_onnx
from dermaseg_monai.prompts.finetune import (
    EmbeddingDataset,
    EmbeddingLoader,
    PromptTraining,
    prepare_prompted_batch,
)
from dermaseg_monai.prompts.from_mask import (
    box_of_mask,
    jittered_box,
    points_beside,
    points_inside,
    prompt_from_mask,
)
from dermaseg_monai.prompts.jitter_curve import plot_jitter_curve
from dermaseg_monai.prompts.network import SamNetwork
from dermaseg_monai.prompts.preprocess import PREPROCESSING, MedSamPreprocessd, SamPreprocessd
from dermaseg_monai.prompts.prompt import KINDS, Prompt, input_prompts
from dermaseg_monai.prompts.session import PromptSession
from dermaseg_monai.prompts.sources import SOURCES, BundlePredictor, Promptd, PromptSource, SavedMasks
from dermaseg_monai.prompts.user_file import read_prompts
from dermaseg_monai.zoo.checkpoints import CHECKPOINTS, Checkpoint, get_checkpoint

__all__ = [
    "ARCHITECTURES",
    "CHECKPOINTS",
    "KINDS",
    "PREPROCESSING",
    "SOURCES",
    "BundlePredictor",
    "Checkpoint",
    "EmbeddingCache",
    "EmbeddingDataset",
    "EmbeddingLoader",
    "MedSamPreprocessd",
    "Prompt",
    "PromptComparison",
    "PromptEvaluator",
    "PromptSession",
    "PromptSource",
    "PromptTraining",
    "Promptd",
    "SamNetwork",
    "SamPreprocessd",
    "SavedMasks",
    "best_weights",
    "box_of_mask",
    "build_sam",
    "click_through",
    "clicks_needed",
    "corrective_click",
    "export_onnx",
    "format_table",
    "get_checkpoint",
    "input_prompts",
    "jittered_box",
    "load_checkpoint",
    "plot_jitter_curve",
    "points_beside",
    "points_inside",
    "prepare_prompted_batch",
    "prompt_from_mask",
    "read_prompts",
]
