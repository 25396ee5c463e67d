"""A vLLM server on a CPU: `python start_vllm_server.py FOLDER PORT [OPTION ...]`.

On a CPU, oneDNN packs linear weights into a form that cannot be loaded into again; it is switched off before vLLM makes
its model, which happens in this process.
"""

import os
import runpy
import sys

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}

if __name__ == "__main__":
    import vllm._custom_ops as ops

    ops._supports_onednn = False
    folder, port, *options = sys.argv[1:]
    sizes = ["--dtype", "float32", "--max-model-len", "512", "--block-size", "32", "--max-num-seqs", "8"]
    pictures = ["--limit-mm-per-prompt", '{"image": 4, "video": 0}', "--skip-mm-profiling"]
    place = ["--host", "127.0.0.1", "--port", port, "--enforce-eager", "--disable-log-stats"]
    sys.argv = ["api_server", "--model", folder, *place, *sizes, *pictures, *options]
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
