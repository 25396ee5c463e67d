"""What servers say, in their own words, and what it means."""

import pytest

from agent.chat.refusals import Asked, Passing, Refused, explained, judged
from agent.chat.words import said
from agent.errors import AgentError, ConfigError, ContextOverflow

SEEN = Asked("http://host/v1", "model", "OPENAI_API_KEY", True, ("model",), pictures=1)
BLIND = Asked("http://host/v1", "model", "OPENAI_API_KEY", True, ("model",), pictures=0)


def meaning(status: int, text: str, asked: Asked = SEEN) -> AgentError:
    refused = judged(status, text, None)
    assert isinstance(refused, Refused)
    return explained(refused, asked)


# As vLLM, SGLang, OpenAI, llama.cpp, TGI, Mistral, Gemini, Anthropic, Groq and OpenRouter word it, or did.
OVERFLOWS = [
    (400, "This model's maximum context length is 512 tokens. However, you requested 600 tokens"),
    (
        400,
        "You passed 700 input tokens and requested 16 output tokens. But the model's context length is only 512",
    ),
    (400, "The decoder prompt (length 1234) is longer than the maximum model length of 512. Make sure that ..."),
    (
        400,
        "'max_tokens' or 'max_completion_tokens' is too large: 99. This model's maximum context length is 512",
    ),
    (400, "The input (1200 tokens) is longer than the model's context length (512 tokens)."),
    (400, "Requested token count exceeds the model's maximum context length of 512 tokens."),
    (400, '{"error": {"message": "Too big.", "type": "invalid_request_error", "code": "context_length_exceeded"}}'),
    (400, '{"error": {"code": 400, "message": "too big", "type": "exceed_context_size_error", "n_ctx": 512}}'),
    (500, "the request exceeds the available context size. try increasing the context size"),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 512. Given: 500 `inputs` tokens"),
    (400, "Prompt contains 700 tokens and 0 draft tokens, too large for model with 512 maximum context length"),
    (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    (400, "prompt is too long: 210000 tokens > 200000 maximum"),
    (413, "Please reduce the length of the messages or completion."),
    (400, "This endpoint's maximum context length is 512 tokens. However, you requested about 600 tokens"),
]


@pytest.mark.parametrize(("status", "text"), OVERFLOWS)
def test_a_context_that_is_too_long_is_known_in_every_servers_words(status: int, text: str) -> None:
    for asked in (SEEN, BLIND):
        assert isinstance(meaning(status, text, asked), ContextOverflow)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "max_tokens is too large: 99999. This model supports at most 16384 completion tokens"),
        (400, "temperature must be non-negative, got -1.0"),
        (400, '{"object": "error", "message": "seed must be an integer", "type": "BadRequestError", "code": 400}'),
        (422, '{"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "not permitted"}]}'),
        (413, "Request Entity Too Large"),
    ],
)
def test_other_refusals_end_the_evaluation_with_the_servers_words(status: int, text: str) -> None:
    error = meaning(status, text)
    assert type(error) is ConfigError and said(text) in str(error) and "--server.extra" in str(error)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "At most 0 image(s) may be provided in one prompt."),
        (400, "model is not a multimodal model"),
        (400, "Invalid content type. image_url is only supported by certain models."),
        (404, "No endpoints found that support image input"),
        (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
        (400, "At most 1 image(s) may be provided in one prompt."),
    ],
)
def test_a_model_that_takes_no_pictures_is_told(status: int, text: str) -> None:
    error = meaning(status, text)
    assert type(error) is ConfigError
    assert "does not take the pictures" in str(error) and "a model that sees" in str(error) and text in str(error)


def test_words_about_pictures_are_about_pictures_only_where_there_are_some() -> None:
    assert "refused a request" in str(meaning(400, "bad image_url", BLIND))
    assert "does not take the pictures" in str(meaning(400, "bad image_url", SEEN))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (402, "Insufficient Balance"),
        (429, '{"error": {"message": "over", "code": "insufficient_quota"}}'),
        (429, '{"error": {"message": "over", "type": "insufficient_quota"}}'),
        (400, "Your credit balance is too low to access the API."),
        (403, "insufficient credits"),
    ],
)
def test_an_empty_account_is_told(status: int, text: str) -> None:
    assert "has no credit left" in str(meaning(status, text))


@pytest.mark.parametrize(
    "text", ["Rate limit reached. Visit billing to raise it", "too many tokens", "maximum context length per minute"]
)
def test_a_rate_limit_passes_whatever_its_words(text: str) -> None:
    judgement = judged(429, text, 3.0)
    assert isinstance(judgement, Passing) and judgement.pause == 3.0 and text in str(judgement)


def test_the_servers_words_come_out_of_every_wrapping() -> None:
    for text in (
        "plain",
        '{"error": "plain"}',
        '{"error": {"message": "plain"}}',
        '{"object": "error", "message": "plain", "code": 400}',
        '{"detail": {"error": {"message": "plain"}}}',
    ):
        assert said(text) == "plain"
    assert said('{"other": 1}') == "{'other': 1}" and len(said("x" * 9999)) == 500
