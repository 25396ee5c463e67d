"""Models behind a URL: a client for servers that speak OpenAI's chat interface (vLLM, SGLang, hosted ones).

options    what may be asked for, as plain data; secret: the key, from the environment
messages   what is said, and what is answered
server     ChatServer: the client, one for any number of threads
words      what servers say in their errors, unwrapped
dialect    which fields of a request a server takes
http       one request over HTTP; patience: how often, and with which pauses
refusals   what a server's error means: later, never, or a context that is too long
reading    from a server's answer to a reply
pace       requests and tokens a minute
pictures   pictures as PNG data URLs
fake       a server whose model is a function, with faults on demand

What a server is sent is text, which it turns into tokens by itself, and so is what it answers: good for evaluation,
never for training, where sampled tokens must not be encoded again.
"""

from ..errors import ContextOverflow
from .messages import ChatMessage, ChatReply
from .options import ChatOptions
from .server import ChatServer

__all__ = ["ChatMessage", "ChatOptions", "ChatReply", "ChatServer", "ContextOverflow"]
