//! The table of rooms.

/// A row: a room, and what it may use.
#[derive(Debug)]
pub struct Room {
    pub name: String,
    uses: Vec<String>,
    crates: Vec<String>,
}

impl Room {
    /// The rooms that it may use.
    pub fn uses(&self) -> impl Iterator<Item = &str> {
        self.uses.iter().map(String::as_str)
    }

    /// The guarded libraries that it may name.
    pub fn crates(&self) -> impl Iterator<Item = &str> {
        self.crates.iter().map(String::as_str)
    }
}

/// Reads the table whose columns are `room`, `owns`, `may use` and `must not know`.
pub fn rooms(markdown: &str) -> Vec<Room> {
    let mut lines = markdown.lines();
    lines.find(|line| cells(line) == ["room", "owns", "may use", "must not know"]);
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let row = |line| {
        let cells = cells(line);
        let may_use = cells.get(2).copied().unwrap_or_default();
        let (uses, crates) = may_use.split_once("crate").unwrap_or((may_use, ""));
        Room {
            name: quoted(cells.first().copied().unwrap_or_default())
                .pop()
                .unwrap_or_default(),
            uses: quoted(uses),
            crates: quoted(crates),
        }
    };
    rows.map(row).collect()
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|');
    line.split('|').map(str::trim).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    let parts = text.split('`').skip(1).step_by(2);
    parts.map(String::from).collect()
}

/// Rooms that may use each other in a circle, if there are any, or that use one that isn't in the table.
pub fn circle(rooms: &[Room]) -> Option<String> {
    fn walk<'a>(rooms: &'a [Room], way: &mut Vec<&'a str>) -> Option<String> {
        let last = *way.last()?;
        let Some(room) = rooms.iter().find(|room| room.name == last) else {
            return Some(format!("{} (which has no row)", way.join(" → ")));
        };
        for next in room.uses() {
            let is_round = way.contains(&next);
            way.push(next);
            if is_round {
                return Some(way.join(" → "));
            }
            if let Some(found) = walk(rooms, way) {
                return Some(found);
            }
            way.pop();
        }
        None
    }
    rooms
        .iter()
        .find_map(|room| walk(rooms, &mut vec![&room.name]))
}
