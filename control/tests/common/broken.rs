//! Configuration files that are broken in one place, made of a good one.

/// Files with one mistake each, and the line in which it stands, from 1: each setting, section and list entry of
/// `good` is broken in each way that there is. The same for the same `good`.
pub(crate) fn broken(good: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = good.lines().collect();
    let mut files = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        for broken in broken_lines(line) {
            let mut changed = lines.clone();
            changed[index] = &broken;
            files.push((changed.join("\n") + "\n", index + 1));
        }
    }
    files
}

/// The ways in which a line can be broken; none for empty ones and comments.
fn broken_lines(line: &str) -> Vec<String> {
    let code = line.split(" #").next().unwrap_or(line).trim();
    if code.starts_with('[') {
        let name = code.trim_matches(['[', ']']);
        return vec![
            code.replace(name, &format!("{name}x")),
            code.trim_end_matches(']').to_owned(),
            format!("{code} {name}"),
        ];
    }
    let Some((key, value)) = code.split_once(" = ").filter(|_| !code.starts_with('#')) else {
        return Vec::new();
    };
    vec![
        format!("{key}x = {value}"),
        format!("{key} ="),
        format!("{key} {value}"),
        format!("{key} = \"{value}"),
        format!("{key} = {{ nothing = 1 }}"),
        format!("{key} = 1979-05-27"),
    ]
}
