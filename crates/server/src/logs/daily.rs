//! Log files of one day each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Clock;

/// How many daily files are kept, the present one included.
const KEPT_FILES: usize = 14;

const PREFIX: &str = "mcp-server.";
const SUFFIX: &str = ".log";

/// Appends to the file of the present day (UTC) and removes the files of long ago.
pub(super) struct DailyFiles {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    current: Option<Day>,
}

struct Day {
    date: String,
    file: File,
}

impl DailyFiles {
    /// Makes the directory and today's file, so that a wrong directory shows at the start.
    pub(super) fn open(dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let date = clock.now().to_date();
        let current = Some(open_day(dir, date)?);
        Ok(Self {
            dir: dir.to_owned(),
            clock,
            current,
        })
    }

    /// Appends whole lines. What can't be written is lost, and the file is opened anew for the next lines.
    pub(super) fn append(&mut self, lines: &[u8]) {
        let date = self.clock.now().to_date();
        let day = match self.current.take() {
            Some(day) if day.date == date => Ok(day),
            _ => open_day(&self.dir, date),
        };
        self.current = day
            .and_then(|mut day| day.file.write_all(lines).map(|()| day))
            .ok();
    }
}

fn open_day(dir: &Path, date: String) -> io::Result<Day> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(format!("{PREFIX}{date}{SUFFIX}")))?;
    // A directory that can't be cleaned is still one to log into.
    drop(remove_old(dir));
    Ok(Day { date, file })
}

fn remove_old(dir: &Path) -> io::Result<()> {
    let mut names: Vec<String> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_daily(name))
        .collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    names
        .iter()
        .skip(KEPT_FILES)
        .try_for_each(|name| fs::remove_file(dir.join(name)))
}

/// Whether a file is one of ours: `mcp-server.2026-01-31.log`.
fn is_daily(name: &str) -> bool {
    let date = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    date.is_some_and(|date| {
        date.len() == "2026-01-31".len() && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use model::Timestamp;
    use parking_lot::Mutex;

    use super::*;

    struct HeldClock(Mutex<Timestamp>);

    impl Clock for HeldClock {
        fn now(&self) -> Timestamp {
            *self.0.lock()
        }
    }

    #[test]
    fn each_day_has_its_file_and_the_last_fourteen_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mcp-server.notes.log"), "not ours").unwrap();
        let clock = Arc::new(HeldClock(Mutex::new("2026-01-20T23:59:59Z".parse().unwrap())));
        let mut files = DailyFiles::open(dir.path(), Arc::<HeldClock>::clone(&clock)).unwrap();
        for _ in 0..20 {
            files.append(b"a line\n");
            let mut now = clock.0.lock();
            *now = now.plus(std::time::Duration::from_secs(86_400));
        }
        let mut names: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 15);
        assert_eq!(names[0], "mcp-server.2026-01-26.log");
        assert_eq!(names[13], "mcp-server.2026-02-08.log");
        assert_eq!(names[14], "mcp-server.notes.log");
    }

    #[test]
    fn g11_a_directory_that_vanishes_costs_lines_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        let clock = Arc::new(HeldClock(Mutex::new("2026-01-20T12:00:00Z".parse().unwrap())));
        let mut files = DailyFiles::open(&logs, Arc::<HeldClock>::clone(&clock)).unwrap();
        fs::remove_dir_all(&logs).unwrap();
        *clock.0.lock() = "2026-01-21T12:00:00Z".parse().unwrap();
        files.append(b"lost\n");
        fs::create_dir(&logs).unwrap();
        files.append(b"found\n");
        assert_eq!(
            fs::read_to_string(logs.join("mcp-server.2026-01-21.log")).unwrap(),
            "found\n"
        );
    }
}
