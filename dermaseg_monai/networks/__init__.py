"""Segmentation networks, one architecture a file; all take images and return logits of the same size."""

from dermaseg_monai.networks.attention_unet import AttentionUNet
from dermaseg_monai.networks.ba_deeplabv3 import BADeepLabV3
from dermaseg_monai.networks.calibration import calibrate_batch_norms
from dermaseg_monai.networks.convnext_unet import ConvNeXtUNet
from dermaseg_monai.networks.deeplabv3 import DeepLabV3
from dermaseg_monai.networks.inception_aspp_unet import InceptionASPPUNet
from dermaseg_monai.networks.mobilenetv2_unet import MobileNetV2UNet
from dermaseg_monai.networks.residual_unet import ResidualUNet
from dermaseg_monai.networks.resnet101_aspp_unet import ResNet101ASPPUNet
from dermaseg_monai.networks.segformer_lite import SegFormerLite
from dermaseg_monai.networks.segnet import SegNet
from dermaseg_monai.networks.swin_unet_lite import SwinUNetLite
from dermaseg_monai.networks.timm_unet import TimmUNet
from dermaseg_monai.networks.transunet import TransUNet
from dermaseg_monai.networks.unet import UNet
from dermaseg_monai.networks.unetpp import UNetPlusPlus

__all__ = [
    "AttentionUNet",
    "BADeepLabV3",
    "ConvNeXtUNet",
    "DeepLabV3",
    "InceptionASPPUNet",
    "MobileNetV2UNet",
    "ResNet101ASPPUNet",
    "ResidualUNet",
    "SegFormerLite",
    "SegNet",
    "SwinUNetLite",
    "TimmUNet",
    "TransUNet",
    "UNet",
    "UNetPlusPlus",
    "calibrate_batch_norms",
]
