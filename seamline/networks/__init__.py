"""The networks of a face domain, in every size; the parameter names are those of the public checkpoints."""

from seamline.networks.arcface import ArcFace, ArcFaceConfig
from seamline.networks.attributes import AttributeNetwork, AttributesConfig
from seamline.networks.bisenet import BiSeNet, BiSeNetConfig
from seamline.networks.bisenet_v2 import BiSeNetV2
from seamline.networks.clip import Clip, ClipConfig
from seamline.networks.detector import Detections, FaceDetector, FaceDetectorConfig
from seamline.networks.e4e import E4eConfig, E4eEncoder
from seamline.networks.hyperstyle import HyperStyle, HyperStyleConfig
from seamline.networks.landmarks import LandmarkConfig, LandmarkNetwork
from seamline.networks.latent_transformer import LatentTransformer, LatentTransformerConfig
from seamline.networks.lpips import Lpips, LpipsConfig
from seamline.networks.stylegan2 import Generator, GeneratorConfig

__all__ = [
    "ArcFace",
    "ArcFaceConfig",
    "AttributeNetwork",
    "AttributesConfig",
    "BiSeNet",
    "BiSeNetConfig",
    "BiSeNetV2",
    "Clip",
    "ClipConfig",
    "Detections",
    "E4eConfig",
    "E4eEncoder",
    "FaceDetector",
    "FaceDetectorConfig",
    "Generator",
    "GeneratorConfig",
    "HyperStyle",
    "HyperStyleConfig",
    "LandmarkConfig",
    "LandmarkNetwork",
    "LatentTransformer",
    "LatentTransformerConfig",
    "Lpips",
    "LpipsConfig",
]
