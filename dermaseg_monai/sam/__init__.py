"""SAM, MedSAM and MobileSAM: prompts, the promptable network, cached embeddings, fine-tuning and comparison."""

from __future__ import annotations

from dermaseg_monai.bundle.published_weights import CHECKPOINTS, Checkpoint, get_checkpoint
from dermaseg_monai.sam.architecture import ARCHITECTURES, build_sam
from dermaseg_monai.sam.cache import EmbeddingCache
from dermaseg_monai.sam.comparison import PromptComparison, format_table
from dermaseg_monai.sam.evaluator import PromptEvaluator
from dermaseg_monai.sam.export import export_onnx
from dermaseg_monai.sam.finetune import (
    CorrectiveClicks,
    EmbeddingDataset,
    EmbeddingLoader,
    PromptTraining,
    prepare_prompted_batch,
)
from dermaseg_monai.sam.from_mask import (
    box_of_mask,
    jittered_box,
    points_beside,
    points_inside,
    prompt_from_mask,
    random_points,
)
from dermaseg_monai.sam.network import SamNetwork
from dermaseg_monai.sam.preprocess import PREPROCESSING, MedSamPreprocessd, SamPreprocessd
from dermaseg_monai.sam.prompt import KINDS, Prompt, input_prompts
from dermaseg_monai.sam.prompts_file import read_prompts
from dermaseg_monai.sam.session import PromptSession
from dermaseg_monai.sam.simulated_clicks import click_through, clicks_needed, corrective_click
from dermaseg_monai.sam.sources import SOURCES, BundlePredictor, Promptd, PromptSource, SavedMasks
from dermaseg_monai.sam.weights import best_weights, load_checkpoint

__all__ = [
    "ARCHITECTURES",
    "CHECKPOINTS",
    "KINDS",
    "PREPROCESSING",
    "SOURCES",
    "BundlePredictor",
    "Checkpoint",
    "CorrectiveClicks",
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
    "points_beside",
    "points_inside",
    "prepare_prompted_batch",
    "prompt_from_mask",
    "random_points",
    "read_prompts",
]
