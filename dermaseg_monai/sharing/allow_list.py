"""Allow-list for configs of untrusted bundles."""

from __future__ import annotations

import math


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OWN_MODULES = (
    "dermaseg_monai.bundle.calibration",
    "dermaseg_monai.bundle.command_line",
    "dermaseg_monai.bundle.published_weights",
    "dermaseg_monai.bundle.weights",
    "dermaseg_monai.data.class_weights",
    "dermaseg_monai.data.datalist",
    "dermaseg_monai.data.photos",
    "dermaseg_monai.data.resident",
    "dermaseg_monai.data.sampling",
    "dermaseg_monai.engines",
    "dermaseg_monai.handlers",
    "dermaseg_monai.inferers",
    "dermaseg_monai.losses",
    "dermaseg_monai.metrics",
    "dermaseg_monai.networks",
    "dermaseg_monai.optimizers",
    "dermaseg_monai.sam",
    "dermaseg_monai.transforms",
    "dermaseg_monai.utils.flags",
    "dermaseg_monai.utils.precision",
)
"""Modules whose classes and functions may be used.

None of them runs a command, loads a pickle, or writes a file whose contents a config could choose.
"""

CLASS_MODULES = ("torch.nn", "torch.optim", "torch.utils.data.sampler")
"""Modules of which all classes may be used, but no functions."""

MONAI_MODULES = (
    "monai.data",
    "monai.engines",
    "monai.handlers",
    "monai.inferers",
    "monai.losses",
    "monai.networks.nets",
    "monai.transforms",
)
"""Where the classes of MONAI_CLASSES are."""

MONAI_CLASSES = _words(
    """
    CacheDataset DataLoader Dataset SmartCacheDataset ThreadDataLoader
    SupervisedEvaluator SupervisedTrainer
    EarlyStopHandler LrScheduleHandler MeanDice StatsHandler ValidationHandler
    SimpleInferer SlidingWindowInferer
    DiceCELoss DiceFocalLoss DiceLoss FocalLoss GeneralizedDiceLoss TverskyLoss
    AttentionUnet BasicUNet DynUNet SegResNet SwinUNETR UNETR UNet VNet
    Activationsd AsDiscreted CastToTyped CenterSpatialCropd Compose CopyItemsd DeleteItemsd DivisiblePadd
    EnsureChannelFirstd EnsureTyped FillHolesd Identityd KeepLargestConnectedComponentd NormalizeIntensityd OneOf
    RandAdjustContrastd RandAffined RandFlipd RandGaussianNoised RandRotate90d RandRotated RandScaleIntensityd
    RandShiftIntensityd RandSpatialCropd RandZoomd Resized ScaleIntensityRanged ScaleIntensityd SelectItemsd
    SpatialPadd SqueezeDimd ToTensord Transposed
    """
)
"""Classes of MONAI that may be used: others take a reader, writer, merger or model by name and call what has it
(``LoadImage(reader="os.system")``), read pickles, or fetch code and weights."""

NAMES: dict[str, frozenset[str]] = {
    "dermaseg_monai.evaluation.strata_report": _words("StrataReport"),
    "dermaseg_monai.utils.distributed": _words("sync_batchnorm"),
    "dermaseg_monai.sam": _words("PREPROCESSING"),
    "math": frozenset(name for name in vars(math) if not name.startswith("_")),
    "os": _words("environ"),
    "os.path": _words("basename dirname exists isdir isfile join splitext"),
    "torch": _words(
        """
        bfloat16 bool channels_last contiguous_format device float16 float32 float64 int16 int32 int64 manual_seed
        ones preserve_format tensor uint8 zeros
        """
    ),
    "torch.backends.mps": _words("is_available"),
    "torch.cuda": _words("current_device device_count is_available is_bf16_supported set_device"),
    "torch.distributed": _words(
        "destroy_process_group get_rank get_world_size init_process_group is_available is_initialized"
    ),
    "numpy": _words(
        """
        abs arange array asarray bool_ ceil clip concatenate exp float16 float32 float64 floor int16 int32 int64
        linspace log max maximum mean median min minimum ones pi prod quantile round sqrt stack std sum uint8 where
        zeros
        """
    ),
}
"""Single names of further modules."""

ENVIRONMENT = _words("LOCAL_RANK LOCAL_WORLD_SIZE RANK WORLD_SIZE")
"""Environment variables that may be read: those that torchrun sets."""

BUILTINS = _words(
    """
    abs all any bool dict enumerate filter float frozenset int isinstance len list map max min range reversed round
    set slice sorted str sum tuple zip
    """
)
"""Python's own functions that may be used."""

ATTRIBUTES = _words(
    """
    T architecture bool copy cpu cuda data dataset defaults detach device dtype eval features float get half image_size
    index inner int is_cuda item items join keys long lower max max_epochs mean min module named_parameters ndim numel
    outer parameters permute preprocessing requires_grad requires_grad_ reshape round run shape size sort split squeeze
    startswith endswith state state_dict std strip sum temperature to tolist train transpose type unsqueeze
    upper values
    """
)
"""Attributes of values, as opposed to modules: no way leads from them to a module or a frame."""

LOGGING_CLASSES = _words("NullHandler StreamHandler")
LOGGING_ARGUMENTS = ("()", "(sys.stdout,)", "(sys.stderr,)")
