//! `skills`: Agent Skills for whoever works at the desk by `aiemp-node mcp`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Subcommand;

use super::print;
use crate::{config::Config, fault::Fault, home::Home};

/// Each with its name, a folder's.
const SKILLS: [(&str, &str); 5] = [
    ("triage", include_str!("../../skills/triage/SKILL.md")),
    ("draft-reply", include_str!("../../skills/draft-reply/SKILL.md")),
    ("plan", include_str!("../../skills/plan/SKILL.md")),
    ("briefing", include_str!("../../skills/briefing/SKILL.md")),
    ("weekly-audit", include_str!("../../skills/weekly-audit/SKILL.md")),
];

#[derive(Debug, Subcommand)]
pub(super) enum SkillsCommand {
    /// Write the skills into a folder, such as ~/.claude/skills; a skill that was changed there stays as it is
    Install {
        /// Where; outside the vault
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

pub(super) fn skills(home: &Home, command: &SkillsCommand) -> Result<ExitCode> {
    let SkillsCommand::Install { dir } = command;
    outside_vault(home, dir)?;
    let mut is_whole = true;
    for (name, text) in SKILLS {
        let file = dir.join(name).join("SKILL.md");
        match fs::read_to_string(&file) {
            Ok(there) if there == text => print::data(format!("{name}: as it is here already")),
            Ok(_) => {
                is_whole = false;
                print::data(format!("{name}: left, for it was changed; remove {} to have ours", file.display()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
                print::data(format!("{name}: written"));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text)
}

/// Agents take instructions from such files: in the vault, what comes from peers and mails lies beside them.
fn outside_vault(home: &Home, dir: &Path) -> Result<()> {
    // Without a home there is no vault to keep out of.
    let Ok(text) = fs::read_to_string(home.config()) else { return Ok(()) };
    let Ok(config) = Config::parse(&text) else { return Ok(()) };
    // What does not exist yet lies where the folder above it does.
    let path = std::path::absolute(dir)?;
    let real = path.ancestors().find_map(|above| fs::canonicalize(above).ok()).unwrap_or_else(|| path.clone());
    let vault = fs::canonicalize(&config.vault).unwrap_or(config.vault);
    if real.starts_with(&vault) || path.starts_with(&vault) {
        let message = format!("{} lies in the vault, where agents must find no instructions", dir.display());
        return Err(Fault::refused(
            "skills",
            message,
            "Give the folder of the agent's skills, such as ~/.claude/skills.",
        )
        .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_skill_says_its_name_and_when_it_is_for() {
        for (name, text) in SKILLS {
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("---"), "{name}");
            assert_eq!(lines.next(), Some(&*format!("name: {name}")));
            let description = lines.next().and_then(|line| line.strip_prefix("description: ")).expect("a description");
            assert!(description.contains("Use ") && description.len() <= 1_024, "{name}");
            assert_eq!(lines.next(), Some("---"), "{name}");
        }
    }

    #[test]
    fn they_are_written_beside_what_was_changed_and_never_into_the_vault() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path().join("home"));
        let vault = directory.path().join("vault");
        fs::create_dir_all(home.path()).unwrap();
        fs::create_dir_all(&vault).unwrap();
        fs::write(home.config(), format!("vault = {vault:?}\n")).unwrap();
        let dir = directory.path().join("skills");
        let install = |dir: &Path| skills(&home, &SkillsCommand::Install { dir: dir.to_owned() });
        assert_eq!(install(&dir).unwrap(), ExitCode::SUCCESS);
        fs::write(dir.join("plan/SKILL.md"), "mine").unwrap();
        assert_eq!(install(&dir).unwrap(), ExitCode::FAILURE);
        assert_eq!(fs::read_to_string(dir.join("plan/SKILL.md")).unwrap(), "mine");
        let refused = install(&vault.join("Plans")).unwrap_err();
        assert!(refused.to_string().contains("lies in the vault"), "{refused}");
        assert!(!vault.join("Plans").exists());
    }
}
