"""Model types of transformers that cannot be trained here, and why.

A method replaces the output of the word-embedding layer or of the embedding layer, and reads the last state
of the first token. A type that is not in the table is tried when its weights are loaded.
"""

DECODERS = """
biogpt bloom ctrl deepseek_v2 deepseek_v3 diffllama exaone4 falcon gemma gemma2 gemma3 gemma3_text glm glm4
gpt-sw3 gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj helium jamba jetmoe llama ministral ministral3 mistral
mistral4 mixtral modernbert-decoder mpt nemotron olmo olmo2 olmo3 openai-gpt opt persimmon phi phi3 phimoe
qwen2 qwen2_moe qwen3 qwen3_moe seed_oss smollm3 stablelm starcoder2 zamba zamba2
"""
ENCODER_DECODERS = "bart bigbird_pegasus led mbart mt5 mvp plbart t5 t5gemma t5gemma2 umt5"

REASONS = {
    DECODERS: "it is a decoder: attention is causal, and its head reads the last token",
    ENCODER_DECODERS: "it is an encoder-decoder: its head reads the last token of the decoder",
    "longformer reformer": "it pads inputs internally, so perturbed embeddings and input differ in length",
    "flaubert xlm": "its embedding layer is only the word table; positions are added outside of it",
    "canine ibert": "its words do not come from an embedding table",
    "lilt": "it needs the layout of a page",
    "xlnet": "it has no embedding layer before the other layers, and its head reads the last token",
}

UNSUPPORTED = {model_type: reason for types, reason in REASONS.items() for model_type in types.split()}
"""Model type to reason."""


def unsupported(model_type: str) -> str | None:
    """Return why models of this type cannot be trained, or None if no reason is known."""
    return UNSUPPORTED.get(model_type)
