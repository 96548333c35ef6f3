"""Quantization methods of vLLM 0.32, and which of them cannot run without a GPU.

A copy, because `models` never imports vLLM; tests/models/test_quantizations.py holds it against vLLM's own list. What
is not refused here may still be refused by an engine: the kernel decides by layer shape and CPU features.
"""

CUDA_KERNELS = "its kernels are for GPUs only"
MOE_ON_GPU = "it quantizes mixture-of-experts layers with GPU kernels"

GPU_ONLY = {
    "awq_marlin": "Marlin kernels are for GPUs only; on a CPU use 'awq'",
    "bitsandbytes": "bitsandbytes has GPU kernels only",
    "deepseek_v4_fp8": CUDA_KERNELS,
    "experts_int8": MOE_ON_GPU,
    "fbgemm_fp8": CUDA_KERNELS,
    "fp8": "vLLM's 'fp8' fails on a CPU; use 'fp8_per_channel'",
    "fp_quant": CUDA_KERNELS,
    "gguf": CUDA_KERNELS,
    "gptq_marlin": "Marlin kernels are for GPUs only; on a CPU use 'gptq'",
    "humming": CUDA_KERNELS,
    "modelopt_fp4": CUDA_KERNELS,
    "modelopt_mxfp8": CUDA_KERNELS,
    "mxfp8": CUDA_KERNELS,
    "nvfp4_per_token": MOE_ON_GPU,
}
"""Method → why it needs a GPU."""

_ANYWHERE = """
    auto_awq auto_gptq awq compressed-tensors fp8_per_block fp8_per_channel fp8_per_tensor gpt_oss_mxfp4 gptq inc
    int8_per_channel_weight_only modelopt modelopt_mixed moe_wna16 mxfp4 online quark torchao
"""
ANYWHERE = frozenset(_ANYWHERE.split())
"""Methods that have CPU kernels for at least some layers."""

PLUGINS = {"bitsandbytes": "vllm-bnb-plugin", "gguf": "vllm-gguf-plugin"}
"""Methods that left vLLM's core, with the package that brings them back."""

DEPRECATED = frozenset({"fbgemm_fp8", "fp_quant"})
"""Methods vLLM refuses without `allow-deprecated-quantization`."""

QUANTIZATIONS = ANYWHERE | GPU_ONLY.keys()
