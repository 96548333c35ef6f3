"""The catalogue: what a good one becomes, and that every mistake in a bad one is named with its place."""

from pathlib import Path

import pytest

from models.catalog import DEFAULT_CATALOG, find_catalog, load_catalog
from models.errors import CatalogError

EXAMPLES = DEFAULT_CATALOG.parent / "examples"

GOOD = """\
ladder: [small, hosted]
models:
  - name: one
    tier: small
    context_length: 2048
    capabilities: [chat, json]
    price: {usd_per_gpu_second: 0.5}
    engine:
      huggingface: owner/one
      revision: abc123
      quantization: awq
      resources: {num_cpus: 2}
      args: {max-num-seqs: 8}
  - name: away
    tier: hosted
    context_length: 4096
    capabilities: [chat]
    price: {usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 8}
    leaves_premises: true
    hosted: {base_url: "https://api.example.com/v1/", model: big, key_env: AWAY_KEY}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "catalog.yaml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[str]:
    """Messages without the folder in front."""
    with pytest.raises(CatalogError) as raised:
        load_catalog(written(folder, text))
    return [problem.replace(f"{folder}/", "") for problem in raised.value.problems]


def problem(folder: Path, old: str, new: str) -> str:
    """The one message for the good catalogue with `old` replaced."""
    assert GOOD.count(old) == 1
    (only,) = problems(folder, GOOD.replace(old, new))
    return only


def test_a_good_catalogue_becomes_specs(tmp_path: Path) -> None:
    catalog = load_catalog(written(tmp_path, GOOD))

    assert catalog.ladder == ("small", "hosted")
    assert [model.name for model in catalog.engines] == ["one"]
    engine = catalog.models["one"].engine
    assert engine is not None
    assert (engine.source, engine.revision, engine.quantization) == ("owner/one", "abc123", "awq")
    assert (engine.num_cpus, engine.num_gpus, engine.tensor_parallel_size) == (2.0, 0.0, 1)
    assert (engine.min_replicas, engine.max_replicas) == (1, 1)
    assert engine.args == {"max-num-seqs": 8}
    assert catalog.models["one"].leaves_premises is False


def test_prices_per_million_become_prices_per_token(tmp_path: Path) -> None:
    price = load_catalog(written(tmp_path, GOOD)).models["away"].price

    assert price.usd_per_input_token == pytest.approx(2e-6)
    assert price.usd_per_output_token == pytest.approx(8e-6)
    assert price.usd_per_cached_token == price.usd_per_input_token  # no discount unless one is written down


def test_a_replica_costs_as_much_as_its_gpus_together(tmp_path: Path) -> None:
    text = GOOD.replace("{num_cpus: 2}", "{num_gpus: 4, tensor_parallel_size: 4}")

    assert load_catalog(written(tmp_path, text)).models["one"].price.usd_per_gpu_second == pytest.approx(2.0)


def test_the_slash_at_the_end_of_an_address_is_dropped(tmp_path: Path) -> None:
    hosted = load_catalog(written(tmp_path, GOOD)).models["away"].hosted

    assert hosted is not None
    assert hosted.base_url == "https://api.example.com/v1"


def test_paths_are_relative_to_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text('{"max_position_embeddings": 2048}')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = GOOD.replace("huggingface: owner/one\n      revision: abc123", "path: weights")

    engine = load_catalog(written(tmp_path, text)).models["one"].engine

    assert engine is not None
    assert engine.source == str(tmp_path / "weights")


def test_five_mistakes_are_five_messages(tmp_path: Path) -> None:
    text = (
        GOOD.replace("quantization: awq", "quantisation: awq")
        .replace("context_length: 2048", "context_length: -1")
        .replace("capabilities: [chat, json]", "capabilities: [chat, jsn]")
        .replace("name: away", "name: one")
        .replace("ladder: [small, hosted]", "ladder: [small, large, hosted]")
    )

    assert problems(tmp_path, text) == [
        "catalog.yaml:1: ladder[1]: tier 'large' has no model; give one 'tier: large', or remove the tier",
        "catalog.yaml:5: models[0].context_length: must be greater than 0, got -1",
        "catalog.yaml:6: models[0].capabilities[1]: unknown capability 'jsn'; did you mean 'json'?",
        "catalog.yaml:11: models[0].engine.quantisation: unknown key; did you mean 'quantization'?",
        "catalog.yaml:14: models[1].name: 'one' is the name of models[0] too; names are unique",
    ]


def test_a_model_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    message = problem(tmp_path, "huggingface: owner/one\n      revision: abc123", "path: weights/none")

    assert message == "catalog.yaml:9: models[0].engine.path: no such folder: weights/none"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("name: one", "nme: one", "did you mean 'name'?", id="unknown key"),
        pytest.param("name: one", "name: auto", "'auto' is taken", id="reserved name"),
        pytest.param("name: one", "name: ladder", "'ladder' is taken", id="name of the policy"),
        pytest.param("name: one", "name: gateway", "'gateway' is taken", id="name of the gateway"),
        pytest.param("name: one", "name: a/b", "must be 1 to 63 letters", id="name that fits no URL"),
        pytest.param("tier: small", "tier: smal", "did you mean 'small'?", id="tier off the ladder"),
        pytest.param("tier: small", "tier: small\n    task: embd", "must be 'generate' or 'embed'", id="unknown task"),
        pytest.param("context_length: 2048", "context_length: '2048'", "valid integer, got '2048'", id="wrong type"),
        pytest.param("context_length: 2048", "context_length: 1.5", "valid integer", id="fraction of a token"),
        pytest.param("    context_length: 2048\n", "", "context_length: is missing", id="no context length"),
        pytest.param("    capabilities: [chat, json]\n", "", "capabilities: is missing", id="no capabilities"),
        pytest.param("[chat, json]", "[chat, rerank]", "task 'generate' cannot have 'rerank'", id="foreign capability"),
        pytest.param("[chat, json]", "[chat, tools]", "args.tool-call-parser", id="tools without a parser"),
        pytest.param("    price: {usd_per_gpu_second: 0.5}\n", "", "price: is missing", id="no price"),
        pytest.param("{usd_per_gpu_second: 0.5}", "{usd_per_gpu_second: -1}", "got -1", id="negative price"),
        pytest.param("{usd_per_gpu_second: 0.5}", "{usd_per_gpu_second: .nan}", "finite", id="price not a number"),
        pytest.param(
            "{usd_per_gpu_second: 0.5}",
            "{usd_per_gpu_second: 0.5, usd_per_million_input_tokens: 1}",
            "either by GPU-second or by token",
            id="two kinds of price",
        ),
        pytest.param(
            "{usd_per_gpu_second: 0.5}",
            "{usd_per_million_input_tokens: 1}",
            "usd_per_million_output_tokens: is missing",
            id="half a price",
        ),
        pytest.param(
            "{usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 8}",
            "{usd_per_gpu_second: 1}",
            "a hosted API is paid by token",
            id="hosted paid by time",
        ),
        pytest.param(
            "tier: small", "tier: small\n    leaves_premises: true", "stay on your machines", id="data policy"
        ),
        pytest.param("    leaves_premises: true\n", "", "leaves_premises: is missing", id="hosted without data policy"),
        pytest.param(
            "tier: small", "tier: small\n    timeouts: {total_s: 1}", "less than first_token_s", id="total too short"
        ),
        pytest.param("tier: small", "tier: small\n    timeouts: {idle: 1}", "did you mean 'idle_s'?", id="timeout key"),
        pytest.param("revision: abc123", "revision: abc123\n      path: .", "two sources", id="two sources"),
        pytest.param(
            "huggingface: owner/one\n      revision: abc123", "replicas: {}", "source is missing", id="no source"
        ),
        pytest.param("      revision: abc123\n", "", "revision: is missing; name a commit", id="no revision"),
        pytest.param("huggingface: owner/one", "huggingface: one", "'owner/name'", id="not a hub id"),
        pytest.param("{num_cpus: 2}", "{num_cpu: 2}", "did you mean 'num_cpus'?", id="resource key"),
        pytest.param("{num_cpus: 2}", "{num_gpus: 1.5}", "whole number", id="one and a half GPUs"),
        pytest.param(
            "{num_cpus: 2}",
            "{num_gpus: 1, tensor_parallel_size: 2}",
            "2 needs 2 GPUs, but num_gpus is 1",
            id="too few GPUs",
        ),
        pytest.param(
            "{num_cpus: 2}", "{}\n      replicas: {min: 3, max: 2}", "less than min (2 < 3)", id="fewest over most"
        ),
        pytest.param("{num_cpus: 2}", "{}\n      replicas: {min: 0}", "greater than 0, got 0", id="no replicas"),
        pytest.param(
            "quantization: awq", "quantization: awk", "unknown to vLLM; did you mean 'awq'?", id="unknown method"
        ),
        pytest.param(
            "quantization: awq",
            "quantization: bitsandbytes",
            "'bitsandbytes' cannot run with resources.num_gpus 0",
            id="bitsandbytes without a GPU",
        ),
        pytest.param("quantization: awq", "quantization: fp8", "use 'fp8_per_channel'", id="fp8 on a CPU"),
        pytest.param("quantization: awq", "quantization: gptq_marlin", "Marlin", id="marlin on a CPU"),
        pytest.param("max-num-seqs: 8", "enforce-eagr: true", "did you mean 'enforce-eager'?", id="unknown option"),
        pytest.param("max-num-seqs: 8", "--enforce-eager: true", "did you mean 'enforce-eager'?", id="dashed option"),
        pytest.param("max-num-seqs: 8", "zzzz: 1", "see 'vllm serve --help=all'", id="option like nothing"),
        pytest.param("max-num-seqs: 8", "enforce-eager: 1", "must be true or false, got 1", id="switch with a number"),
        pytest.param("max-num-seqs: 8", "max-num-seqs: true", "must be one value", id="value that is a switch"),
        pytest.param("max-num-seqs: 8", "max-num-seqs: [1, 2]", "must be one value", id="list of values"),
        pytest.param("max-num-seqs: 8", "max_model_len: 512", "set it by 'context_length'", id="context length twice"),
        pytest.param("max-num-seqs: 8", "served-model-name: x", "set it by 'name'", id="name twice"),
        pytest.param("max-num-seqs: 8", "hf-token: x", "a secret never stands", id="secret as an option"),
        pytest.param("max-num-seqs: 8", "trust-request-chat-template: true", "clients may not", id="open door"),
        pytest.param("max-num-seqs: 8", "runner: pooling", "does not fit task 'generate'", id="runner of another task"),
        pytest.param("model: big, ", "", "hosted.model: is missing", id="hosted without a model"),
        pytest.param(", key_env: AWAY_KEY", "", "key_env: is missing", id="hosted without a key"),
        pytest.param("key_env: AWAY_KEY", "key_env: AWAY_KEY, key_file: k", "two places for one key", id="two keys"),
        pytest.param('"https://api.example.com/v1/"', "ftp://x/v1", "must start with https://", id="not http"),
        pytest.param('"https://api.example.com/v1/"', '"http://["', "is not a URL", id="not a URL"),
        pytest.param('"https://api.example.com/v1/"', "https://x:99999/v1", "is not a URL", id="port out of range"),
        pytest.param('"https://api.example.com/v1/"', '"https://x/v1?a=b"', "without '?'", id="query"),
        pytest.param('"https://api.example.com/v1/"', "http://x/v1", "allow_plain_http: true", id="plain http"),
        pytest.param("hosted: {", "hosted: {stand-in: true, ", "did you mean 'stand_in'?", id="dash for underscore"),
        pytest.param("ladder: [small, hosted]", "ladder: [small, hosted, small]", "twice", id="tier twice"),
    ],
)
def test_a_mistake_is_one_message_that_says_what_to_do(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected in problem(tmp_path, old, new)


def test_a_key_pasted_into_the_catalogue_is_not_repeated(tmp_path: Path) -> None:
    inside = problem(tmp_path, "key_env: AWAY_KEY", "key_env: sk-very-secret")
    beside = problem(tmp_path, "key_env: AWAY_KEY", "key_env: AWAY_KEY, api_key: sk-very-secret")
    in_address = problem(tmp_path, "https://api.example.com", "https://me:very-secret@api.example.com")

    assert "secret" not in inside + beside + in_address
    assert "key_env" in beside


@pytest.mark.parametrize("host", ["127.0.0.1:8091", "localhost", "[::1]:80", "api.localhost"])
def test_plain_http_stays_on_this_machine(tmp_path: Path, host: str) -> None:
    text = GOOD.replace('"https://api.example.com/v1/"', f'"http://{host}/v1"')

    assert load_catalog(written(tmp_path, text)).models["away"].hosted is not None


def test_plain_http_elsewhere_can_be_permitted(tmp_path: Path) -> None:
    text = GOOD.replace("https://api", "http://api").replace("key_env:", "allow_plain_http: true, key_env:")

    assert load_catalog(written(tmp_path, text)).models["away"].hosted is not None


def test_a_missing_part_is_not_reported_twice(tmp_path: Path) -> None:
    assert "price: must be a mapping, got 3" in problem(tmp_path, "price: {usd_per_gpu_second: 0.5}", "price: 3")
    assert "name: must be a valid string, got 7" in problem(tmp_path, "name: one", "name: 7")


def test_an_entry_with_a_wrong_key_is_still_checked_further(tmp_path: Path) -> None:
    text = GOOD.replace("quantization: awq", "quantization: awk\n      replica: 2")

    assert len(problems(tmp_path, text)) == 2


def test_embedding_models_stand_outside_the_ladder(tmp_path: Path) -> None:
    entry = """\
  - name: vectors
    task: embed
    tier: small
    context_length: 512
    capabilities: [embeddings]
    price: {usd_per_million_input_tokens: 1}
    engine: {huggingface: owner/vectors, revision: abc}
"""
    (wrong_tier,) = problems(tmp_path, GOOD + entry)
    (on_ladder,) = problems(tmp_path, (GOOD + entry.replace("small", "embed")).replace("[small,", "[small, embed,"))

    assert "task 'embed' and tier 'small' do not fit" in wrong_tier
    assert "'embed' stands outside the ladder" in on_ladder
    models = load_catalog(written(tmp_path, GOOD + entry.replace("small", "embed"))).models
    assert "embed" in {model.tier for model in models.values()}


def test_a_model_is_either_ours_or_hosted(tmp_path: Path) -> None:
    hosted = "hosted: {base_url: https://x/v1, model: m, key_env: K}"
    per_token = "{usd_per_million_input_tokens: 1, usd_per_million_output_tokens: 1}"
    text = GOOD.replace("{usd_per_gpu_second: 0.5}", f"{per_token}\n    leaves_premises: true\n    {hosted}")

    (both,) = problems(tmp_path, text)
    (neither,) = problems(tmp_path, GOOD[: GOOD.index("    hosted: {")])

    assert "models[0].hosted: cannot stand beside 'engine'" in both
    assert "models[1].engine: is missing; set 'engine' (we host it) or 'hosted'" in neither


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(None, "no config.json", id="folder without weights"),
        pytest.param("{", "cannot be read", id="broken config.json"),
        pytest.param("[]", "cannot be read", id="config.json of another shape"),
        pytest.param('{"max_position_embeddings": 1024}', "more than the 1024 positions", id="context too long"),
    ],
)
def test_local_weights_are_looked_at(tmp_path: Path, config: str | None, expected: str) -> None:
    (tmp_path / "weights").mkdir()
    if config is not None:
        (tmp_path / "weights" / "config.json").write_text(config)

    message = problem(tmp_path, "huggingface: owner/one\n      revision: abc123", "path: weights")

    assert expected in message


def test_options_have_one_spelling_and_mappings_become_json(tmp_path: Path) -> None:
    options = (
        "{enforce_eager: true, compilation-config.mode: 3, hf_overrides: {b: 1, a: [2]}, disable-cascade-attn: false}"
    )
    engine = load_catalog(written(tmp_path, GOOD.replace("{max-num-seqs: 8}", options))).models["one"].engine

    assert engine is not None
    assert engine.args == {
        "enforce-eager": True,
        "compilation-config.mode": 3,
        "hf-overrides": '{"a": [2], "b": 1}',
        "disable-cascade-attn": False,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "the file is empty", id="empty"),
        pytest.param("- 1", "the top level must be a mapping", id="list"),
        pytest.param("a: [1", "not valid YAML", id="syntax"),
        pytest.param("a: 1\n\tb: 2", ":2: not valid YAML", id="tab"),
        pytest.param("a: !!python/object:os.system {}", "unknown key", id="foreign tag"),
        pytest.param("ladder: [a]\nladder: [b]", ":2: ladder: given twice, first in line 1", id="key twice"),
        pytest.param("models: &m\n  - *m", "an alias may not contain itself", id="alias of itself"),
        pytest.param("models: [7]", "models[0]: must be a mapping that describes a model, got 7", id="not a model"),
        pytest.param("models: {}", "models: must be a valid list", id="models is a mapping"),
        pytest.param("ladder: [1]\nmodels: []", "ladder[0]: must be a valid string", id="tier is a number"),
        pytest.param("modells: []", "did you mean 'models'?", id="unknown key at the top"),
        pytest.param("a: 1\n---\nb: 2", "not valid YAML", id="two documents"),
        pytest.param("\x00", "not valid YAML", id="binary"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert any(expected in message for message in problems(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.yaml: cannot be read: No such file"):
        load_catalog(tmp_path / "none.yaml")


def test_small_numbers_may_be_written_without_a_point(tmp_path: Path) -> None:
    price = load_catalog(written(tmp_path, GOOD.replace("second: 0.5", "second: 1e-6"))).models["one"].price

    assert price.usd_per_gpu_second == 1e-6


def test_the_shipped_catalogue_is_valid() -> None:
    catalog = load_catalog(DEFAULT_CATALOG, env={"MILLRACE_STAND_IN_KEY": "x"})

    assert tuple(catalog.ladder) == ("small", "large", "hosted")
    assert catalog.models["stand-in"].stand_in
    assert catalog.models["stand-in"].leaves_premises


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_valid(example: Path) -> None:
    assert load_catalog(example).engines


def test_the_fp8_example_quantizes_every_abacus_model() -> None:
    engines = load_catalog(EXAMPLES / "catalog-fp8.yaml").engines

    assert {m.name: m.engine.quantization for m in engines if m.engine} == {
        "abacus-small": "fp8_per_channel",
        "abacus-large": "fp8_per_channel",
    }


def test_a_relative_name_is_found_beside_the_config_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "catalog.yaml").write_text("")
    (tmp_path / "deploy").mkdir()
    config = tmp_path / "deploy" / "serve_config.yaml"

    assert find_catalog("models/catalog.yaml", beside=config) == tmp_path / "models" / "catalog.yaml"
    (tmp_path / "deploy" / "models").mkdir()
    (tmp_path / "deploy" / "models" / "catalog.yaml").write_text("")
    assert find_catalog("models/catalog.yaml", beside=config) == tmp_path / "deploy" / "models" / "catalog.yaml"
    assert find_catalog("models/examples/catalog-fp8.yaml") == EXAMPLES / "catalog-fp8.yaml"
    assert find_catalog(str(DEFAULT_CATALOG), beside=config) == DEFAULT_CATALOG
