"""One scenario of langchain-openai per run: `python langchain_client.py SCENARIO`; what came of it is one line of JSON.

Runs in a virtual environment of its own and imports nothing of this project.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

GIVEN = json.loads(os.environ["GIVEN"])
URL, KEY = f"{os.environ['MILLRACE_URL']}/v1", os.environ["MILLRACE_KEY"]


def model(**options: Any) -> Any:
    """The chat model, as a user of LangChain sets it up."""
    settings: dict[str, Any] = {"model": GIVEN["small"], "temperature": 0, "max_tokens": 96, "max_retries": 0}
    return ChatOpenAI(base_url=URL, api_key=KEY, **(settings | options))


def said(message: Any) -> dict[str, Any]:
    """A message, as JSON."""
    return {
        "content": message.content if isinstance(message.content, str) else message.text,
        "calls": message.tool_calls,
        "usage": message.usage_metadata,
        "metadata": {key: value for key, value in message.response_metadata.items() if key != "logprobs"},
        "logprobs": len((message.response_metadata.get("logprobs") or {}).get("content") or ()),
    }


def stream(**options: Any) -> dict[str, Any]:
    """A streamed answer, put together as LangChain does."""
    whole = None
    for chunk in model(**options).stream(GIVEN["question"]):
        whole = chunk if whole is None else whole + chunk
    return said(whole)


def tools() -> dict[str, Any]:
    """An answer of a model with tools bound."""
    bound = model().bind_tools(GIVEN["chat_tools"], **GIVEN["choice"])
    return said(bound.invoke(GIVEN["question"]))


def structured() -> Any:
    """An answer that keeps a schema."""
    schema = {"title": "verdict", "description": "A verdict.", **GIVEN["verdict"]}
    return model().with_structured_output(schema, method="json_schema", strict=True).invoke(GIVEN["question"])


def embeddings() -> dict[str, Any]:
    """Vectors of two documents and a query."""
    made = OpenAIEmbeddings(model=GIVEN["embed"], base_url=URL, api_key=KEY, check_embedding_ctx_length=False)  # type: ignore[arg-type]
    documents = made.embed_documents(["7 + 5", "sort 3 1 2"])
    return {
        "lengths": [len(vector) for vector in documents],
        "same": made.embed_query("7 + 5")[:4],
        "first": documents[0][:4],
    }


def failure(work: Callable[[], Any]) -> dict[str, Any]:
    """What was raised."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 — whatever it is, it is what the test asks for
        return {"name": type(error).__name__, "code": getattr(error, "code", None)}
    return {"name": None}


def ending() -> dict[str, Any]:
    """What a stream that breaks off raises."""
    return failure(lambda: stream(model=GIVEN["hosted"], extra_body={"stand_in": GIVEN["script"]}))


SCENARIOS: dict[str, Callable[[], Any]] = {
    "chat": lambda: said(model().invoke(GIVEN["question"])),
    "stream": lambda: stream(stream_usage=True),
    "tools": tools,
    "structured": structured,
    "logprobs": lambda: said(model(logprobs=True, top_logprobs=2).invoke(GIVEN["question"])),
    "batch": lambda: [said(each) for each in model().batch([GIVEN["question"], "Sort 4 2 3."])],
    "completion": lambda: OpenAI(model=GIVEN["small"], base_url=URL, api_key=KEY, max_tokens=4).invoke("7 + 5 ="),  # type: ignore[call-arg, arg-type]
    "responses": lambda: said(model(use_responses_api=True).invoke(GIVEN["question"])),
    "responses_stream": lambda: stream(use_responses_api=True),
    "embeddings": embeddings,
    "errors": lambda: {
        "missing": failure(lambda: model(model="abacus-huge").invoke("x")),
        "wrong": failure(lambda: ChatOpenAI(base_url=URL, api_key="mr-wrong", model=GIVEN["small"]).invoke("x")),  # type: ignore[arg-type]
        "bad": failure(lambda: model(temperature=9).invoke("x")),
    },
    "ending": ending,
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]]()))
