//! Language models and what is around them.

use crate::egress::{
    gate::Gate::{Contains, Entropy, Mixed},
    rule::{
        Class::{Alnum, Hex, Url},
        Part::{Named, Run, Text},
        Rule,
    },
};

pub(super) const RULES: &[Rule] = &[
    Rule::prefix("openai-key", &["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"], &[Run(Url, 40, 200)])
        .gated(&[Entropy(35), Mixed])
        .like(
            &["OPENAI_API_KEY=sk-proj-{w156}", "sk-svcacct-{w60}"],
            &["sk-proj-{w9}", "sk-proj-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"],
        ),
    Rule::prefix("openai-key", &["sk-"], &[Run(Alnum, 40, 60)])
        .gated(&[Contains("T3BlbkFJ")])
        .like(&["sk-{A20}T3BlbkFJ{A20}"], &["sk-{A9}", "task-{A48}"]),
    Rule::prefix("sk-key", &["sk-"], &[Run(Alnum, 48, 48)])
        .gated(&[Entropy(40), Mixed])
        .like(&["sk-{A48}"], &["risk-{A48}", "sk-or-not"]),
    Rule::prefix("deepseek-key", &["sk-"], &[Run(Hex, 32, 32)])
        .gated(&[Entropy(28)])
        .like(&["sk-{h32}"], &["disk-{h32}", "sk-{h8}"]),
    Rule::prefix("anthropic-key", &["sk-ant-"], &[Run(Url, 80, 140)]).gated(&[Entropy(35), Mixed]).like(
        &["sk-ant-api03-{w93}AA", "sk-ant-admin01-{w93}AA", "sk-ant-oat01-{w93}AA"],
        &["sk-ant-api03-{w9}", "sk-ant-api03-..."],
    ),
    Rule::prefix("huggingface-token", &["hf_"], &[Run(Alnum, 34, 40)])
        .gated(&[Entropy(35)])
        .like(&["hf_{A34}"], &["hf_hub_download", "hf_{A9}"]),
    Rule::prefix("huggingface-token", &["api_org_"], &[Run(Alnum, 34, 34)])
        .gated(&[Entropy(35)])
        .like(&["api_org_{A34}"], &["api_org_name", "api_org_{A9}"]),
    Rule::prefix("replicate-token", &["r8_"], &[Run(Alnum, 37, 40)])
        .gated(&[Entropy(35), Mixed])
        .like(&["r8_{A37}"], &["r8_{A9}"]),
    Rule::prefix("groq-key", &["gsk_"], &[Run(Alnum, 52, 52)])
        .gated(&[Entropy(35), Mixed])
        .like(&["gsk_{A52}"], &["gsk_{A9}"]),
    Rule::prefix("perplexity-key", &["pplx-"], &[Run(Alnum, 48, 48)])
        .gated(&[Entropy(35), Mixed])
        .like(&["pplx-{A48}"], &["pplx-{A9}"]),
    Rule::prefix("xai-key", &["xai-"], &[Run(Alnum, 80, 80)])
        .gated(&[Entropy(35), Mixed])
        .like(&["xai-{A80}"], &["xai-{A9}"]),
    Rule::prefix("openrouter-key", &["sk-or-v1-"], &[Run(Hex, 64, 64)])
        .gated(&[Entropy(28)])
        .like(&["sk-or-v1-{h64}"], &["sk-or-v1-{h9}"]),
    Rule::prefix("langsmith-key", &["lsv2_pt_", "lsv2_sk_"], &[Run(Hex, 32, 32), Text("_"), Run(Hex, 10, 10)])
        .like(&["lsv2_pt_{h32}_{h10}"], &["lsv2_pt_{h32}"]),
    Rule::prefix("tavily-key", &["tvly-"], &[Run(Url, 32, 50)])
        .gated(&[Entropy(35), Mixed])
        .like(&["tvly-dev-{A32}"], &["tvly-{A9}"]),
    Rule::prefix("elevenlabs-key", &["sk_"], &[Run(Hex, 48, 48)])
        .gated(&[Entropy(28)])
        .like(&["sk_{h48}"], &["sk_{h9}", "disk_{h48}"]),
    Rule::prefix("cerebras-key", &["csk-"], &[Run(Alnum, 48, 48)])
        .gated(&[Entropy(33), Mixed])
        .like(&["csk-{l48}"], &["csk-{l9}"]),
    Rule::prefix("nvidia-key", &["nvapi-"], &[Run(Url, 60, 70)])
        .gated(&[Entropy(35), Mixed])
        .like(&["nvapi-{w64}"], &["nvapi-{w9}"]),
    Rule::named(
        "model-key",
        &["mistral_api_key", "cohere_api_key", "gemini_api_key", "together_api_key"],
        &[Named, Run(Alnum, 32, 64)],
    )
    .gated(&[Entropy(35), Mixed])
    .like(
        &["MISTRAL_API_KEY={A32}", "COHERE_API_KEY: \"{A40}\""],
        &["MISTRAL_API_KEY=", "mistral_api_key is set elsewhere"],
    ),
];
