//! deploy/grafana-dashboard.json, as Grafana reads it. The e2e test `alerts` runs its queries.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read;

/// Of Grafana's units (`getValueFormats` of @grafana/data), those that metrics of ours have.
const UNITS: [&str; 7] = [
    "none",
    "s",
    "cps",
    "Bps",
    "bytes",
    "percentunit",
    "bool_yes_no",
];

/// The kinds of panels that are Grafana's own, and are used.
const KINDS: [&str; 4] = ["row", "stat", "timeseries", "state-timeline"];

/// How many columns a dashboard has.
const COLUMNS: u64 = 24;

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/grafana-dashboard.json")).expect("JSON")
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

#[test]
fn its_head_is_one_that_grafana_takes() {
    let dashboard = dashboard();
    // With an id it would take the place of another dashboard; by its uid it is found again.
    assert_eq!(dashboard["id"], Value::Null);
    let uid = text(&dashboard, "uid");
    assert!((1..=40).contains(&uid.len()), "{uid:?}");
    assert!(!text(&dashboard, "title").is_empty());
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36), "Grafana 9");
    assert_eq!(dashboard["time"]["to"], "now");
}

#[test]
fn each_panel_has_an_id_and_a_place_of_its_own() {
    let dashboard = dashboard();
    let panels = list(&dashboard, "panels");
    assert!(panels.len() > 40, "{}", panels.len());
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        let title = text(panel, "title");
        assert!(!title.is_empty(), "{panel}");
        assert!(KINDS.contains(&text(panel, "type")), "{title}: {panel}");
        let id = panel["id"].as_u64().unwrap_or_default();
        assert!(id > 0 && ids.insert(id), "{title}: id {id}");
        let place = |name: &str| {
            let number = panel["gridPos"][name].as_u64();
            number.unwrap_or_else(|| panic!("{title} has no {name}"))
        };
        let (x, y, w, h) = (place("x"), place("y"), place("w"), place("h"));
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{title}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(
                cells.insert(cell),
                "{title} lies on another one at {cell:?}"
            );
        }
    }
}

#[test]
fn each_panel_asks_the_prometheus_that_was_chosen() {
    let dashboard = dashboard();
    let variables = list(&dashboard["templating"], "list");
    let names: BTreeSet<&str> = variables.iter().map(|one| text(one, "name")).collect();
    let chosen = variables.iter().find(|one| one["name"] == "datasource");
    let chosen = chosen.expect("it is asked for which one");
    assert_eq!(
        (text(chosen, "type"), text(chosen, "query")),
        ("datasource", "prometheus")
    );
    let asks_it = |of: &Value| {
        let source = &of["datasource"];
        source["type"] == "prometheus" && source["uid"] == "${datasource}"
    };
    for variable in variables.iter().filter(|one| one["type"] == "query") {
        assert!(asks_it(variable), "{variable}");
    }
    for panel in list(&dashboard, "panels") {
        let title = text(panel, "title");
        if panel["type"] == "row" {
            assert!(list(panel, "targets").is_empty(), "{title}");
            continue;
        }
        assert!(asks_it(panel), "{title}");
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        let is_known = |unit: &str| UNITS.contains(&unit);
        // A state has words instead.
        let has_words = panel["type"] == "state-timeline";
        assert!(
            has_words || unit.as_str().is_some_and(is_known),
            "{title}: {unit}"
        );
        let targets = list(panel, "targets");
        assert!(!targets.is_empty(), "{title}");
        let mut letters = BTreeSet::new();
        for target in targets {
            assert!(letters.insert(text(target, "refId")), "{title}: {target}");
            // Each variable is one that there is.
            let expression = text(target, "expr");
            for after in expression.split('$').skip(1) {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let name = after.split(|c| !is_word(c)).next().unwrap_or_default();
                let is_there = names.contains(name) || name == "__rate_interval";
                assert!(is_there, "{title}: ${name}");
            }
        }
    }
}
