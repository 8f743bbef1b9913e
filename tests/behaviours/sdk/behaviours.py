"""Asks each model it is given through an unmodified openai package; writes what it got as one JSON object."""

import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)


def told(message):
    return {
        "text": message.content or "",
        "refusal": message.refusal or "",
        "calls": [[call.id, call.function.name, call.function.arguments] for call in message.tool_calls or ()],
    }


def ask(model):
    asked = {"model": model, "messages": [{"role": "user", "content": model + sys.argv[2]}]}
    got = {}
    try:
        whole = client.chat.completions.create(**asked)
        got["whole"] = {**told(whole.choices[0].message), "finish": whole.choices[0].finish_reason}
        got["usage"] = [whole.usage.prompt_tokens, whole.usage.completion_tokens]
    except openai.APIStatusError as error:
        got["whole"] = [error.status_code, error.code]
    try:
        with client.chat.completions.stream(**asked) as stream:
            helped = stream.get_final_completion()
        got["streamed"] = {**told(helped.choices[0].message), "finish": helped.choices[0].finish_reason}
    except openai.LengthFinishReasonError:
        got["streamed"] = "length"
    except openai.APIError as error:
        got["streamed"] = [error.code]
    return got


json.dump({model: ask(model) for model in json.loads(sys.argv[3])}, sys.stdout)
