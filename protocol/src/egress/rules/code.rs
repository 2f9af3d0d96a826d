//! Code hosts, builders and package registries.

use crate::egress::{
    gate::Gate::{Checksum62, Entropy, Mixed},
    rule::{
        Class::{Alnum, Dotted, Hex, LowerDigit, Url},
        Part::{Assign, Run, Text},
        Rule,
    },
};

pub(super) const RULES: &[Rule] = &[
    Rule::prefix("github-token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], &[Run(Alnum, 36, 36)])
        .gated(&[Checksum62])
        .like(&["ghp_{c}", "gho_{c} ", "x=ghs_{c}", "ghr_{c}", "ghu_{c}"], &["ghp_{A36}", "ghp_{A20}"]),
    Rule::prefix("github-fine-grained-token", &["github_pat_"], &[Run(Alnum, 22, 22), Text("_"), Run(Alnum, 59, 59)])
        .gated(&[Entropy(35)])
        .like(&["github_pat_{A22}_{A59}"], &["github_pat_{A22}", "github_pat_tokens are new"]),
    Rule::prefix(
        "gitlab-token",
        &[
            "glpat-", "gloas-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-",
            "glffct-",
        ],
        &[Run(Dotted, 20, 400)],
    )
    .gated(&[Entropy(30), Mixed])
    .like(&["glpat-{w20}", "glrt-{w20}", "gldt-{w24}"], &["glpat-{w8}", "glpat-xxxxxxxxxxxxxxxxxxxx"]),
    Rule::prefix("bitbucket-app-password", &["ATBB"], &[Run(Alnum, 32, 32)])
        .gated(&[Entropy(35), Mixed])
        .like(&["ATBB{A32}"], &["ATBB{A8}"]),
    Rule::prefix("atlassian-token", &["ATATT3", "ATCTT3", "ATSTT3"], &[Run(Url, 150, 260)])
        .gated(&[Entropy(35)])
        .like(&["ATATT3xFfGF0{w180}={U8}"], &["ATATT3{w9}"]),
    Rule::prefix("npm-token", &["npm_"], &[Run(Alnum, 36, 36)])
        .gated(&[Entropy(35), Mixed])
        .like(&["//registry.npmjs.org/:_authToken=npm_{A36}"], &["npm_config_registry", "npm_{A12}"]),
    Rule::prefix("pypi-token", &["pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZw"], &[Run(Url, 50, 1000)])
        .gated(&[Entropy(35)])
        .like(&["pypi-AgEIcHlwaS5vcmc{w130}"], &["pypi-AgEI", "pypi-publish-action"]),
    Rule::prefix("crates-io-token", &["cio"], &[Run(Alnum, 32, 32)])
        .gated(&[Entropy(35), Mixed])
        .like(&["token = \"cio{A32}\""], &["cio{A12}", "the cio of the client"]),
    Rule::prefix("rubygems-key", &["rubygems_"], &[Run(Hex, 48, 48)])
        .gated(&[Entropy(28)])
        .like(&["rubygems_{h48}"], &["rubygems_{h8}"]),
    Rule::prefix("docker-token", &["dckr_pat_", "dckr_oat_"], &[Run(Url, 27, 40)])
        .gated(&[Entropy(30)])
        .like(&["dckr_pat_{w27}"], &["dckr_pat_{w8}"]),
    Rule::prefix("nuget-key", &["oy2"], &[Run(LowerDigit, 43, 43)])
        .gated(&[Entropy(33), Mixed])
        .like(&["oy2{l43}"], &["oy2{l12}", "oy2{A43}"]),
    Rule::prefix("clojars-token", &["CLOJARS_"], &[Run(Hex, 60, 60)])
        .gated(&[Entropy(28)])
        .like(&["CLOJARS_{h60}"], &["CLOJARS_{h6}"]),
    Rule::prefix("circleci-token", &["CCIPAT_", "CCIPRJ_"], &[Run(Alnum, 20, 24), Text("_"), Run(Hex, 40, 40)])
        .gated(&[Entropy(28)])
        .like(&["CCIPAT_{A22}_{h40}"], &["CCIPAT_{A22}"]),
    Rule::prefix("buildkite-token", &["bkua_"], &[Run(Hex, 40, 40)])
        .gated(&[Entropy(28)])
        .like(&["bkua_{h40}"], &["bkua_{h9}"]),
    Rule::prefix("sourcegraph-token", &["sgp_"], &[Run(Url, 40, 64)])
        .gated(&[Entropy(28), Mixed])
        .like(&["sgp_{h40}", "sgp_{h16}_{h40}"], &["sgp_{h9}"]),
    Rule::prefix("sonarqube-token", &["squ_", "sqp_", "sqa_"], &[Run(Hex, 40, 40)])
        .gated(&[Entropy(28)])
        .like(&["sqp_{h40}"], &["sqp_{h9}"]),
    Rule::prefix("artifactory-token", &["AKCp", "cmVmdGtu"], &[Run(Alnum, 56, 70)])
        .gated(&[Entropy(35), Mixed])
        .like(&["AKCp{A69}", "cmVmdGtu{A56}"], &["AKCp{A9}"]),
    Rule::named(
        "azure-devops-token",
        &["azure_devops_ext_pat", "system_accesstoken", "azure_devops_pat"],
        &[Assign, Run(Alnum, 52, 84)],
    )
    .gated(&[Entropy(33), Mixed])
    .like(&["AZURE_DEVOPS_EXT_PAT={l52}"], &["AZURE_DEVOPS_EXT_PAT=$(x)"]),
    Rule::named("jenkins-token", &["jenkins_token", "jenkins_api_token"], &[Assign, Run(Hex, 32, 34)])
        .gated(&[Entropy(28)])
        .like(&["JENKINS_TOKEN=11{h32}"], &["jenkins build {d4}"]),
];
