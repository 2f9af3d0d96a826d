//! Reading `config.toml`.

use crate::{config::Config, fault::Fault, home::Home};

/// Reads and checks the settings; anything wrong refuses the start.
pub fn load(home: &Home) -> Result<Config, Fault> {
    let path = home.config();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        Fault::refused("no_config", message, "Run `aiemp-node init --role cloud|local` for a new node, or give --home.")
    })?;
    let config = Config::parse(&text).map_err(|error| {
        let fix = "Correct it; every key is listed in deploy/config/.";
        Fault::refused("config", format!("{}: {error}", path.display()), fix)
    })?;
    super::places::check_apart(home.path(), &config.vault)?;
    Ok(config)
}
