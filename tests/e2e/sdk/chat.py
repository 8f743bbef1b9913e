"""Chats through an unmodified openai package, streamed and whole; writes what it got as one JSON object."""

import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
asked = {"model": "replay", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}

whole = client.chat.completions.create(**asked)
chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))

with client.chat.completions.stream(model="replay", messages=asked["messages"]) as stream:
    helped = stream.get_final_completion()

errors = {}
for model in ("nope", "broken"):
    try:
        list(client.chat.completions.create(**{**asked, "model": model}, stream=True))
    except openai.APIError as error:
        errors[model] = [type(error).__name__, error.code]

got = {
    "version": openai.__version__,
    "whole": whole.choices[0].message.content,
    "usage": whole.usage.total_tokens,
    "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
    "streamed_usage": chunks[-1].usage.total_tokens,
    "helped": helped.choices[0].message.content,
    "models": [model.id for model in client.models.list()],
    "errors": errors,
}
json.dump(got, sys.stdout)
