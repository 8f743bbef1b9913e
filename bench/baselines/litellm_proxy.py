"""LiteLLM's proxy in front of one upstream, with its defaults and without a database.

python litellm_proxy.py UPSTREAM_URL
"""

import asyncio
import json
import os
import socket
import sys
import tempfile

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOG"] = "ERROR"
# Without a key it refuses to start; it listens on loopback, and ends with the benchmark.
os.environ["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
# The first line of stdout is for the one who waits for it, so what the proxy prints goes to stderr.
stdout = os.dup(1)
os.dup2(2, 1)
parameters = {"model": "openai/bench", "api_base": f"{sys.argv[1]}/v1", "api_key": "unused"}
with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as config:
    # JSON is YAML.
    json.dump({"model_list": [{"model_name": "bench", "litellm_params": parameters}]}, config)
os.environ["CONFIG_FILE_PATH"] = config.name

import uvicorn  # noqa: E402
from litellm.proxy.proxy_server import app  # noqa: E402

listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
settings = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="error")


async def main() -> None:
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    os.unlink(config.name)
    if server.started:
        os.write(stdout, f"listening on http://127.0.0.1:{listening.getsockname()[1]}\n".encode())
    await serving


import uvloop  # noqa: E402

uvloop.run(main())
