//! A report's content, and how it is written as HTML and Markdown.

use super::figures::Figure;

/// A table with the names of its columns.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self { head: head.iter().map(|&name| name.to_owned()).collect(), rows }
    }
}

/// A piece of a section.
#[derive(Debug, Clone)]
pub enum Part<'a> {
    Text(String),
    List(Vec<String>),
    Table(Table),
    Picture(&'a Figure),
}

/// A heading and what stands below it.
#[derive(Debug, Clone)]
pub struct Section<'a> {
    pub title: String,
    /// Whether it was computed from a model of the machine instead of measured.
    pub predicted: bool,
    pub parts: Vec<Part<'a>>,
}

impl<'a> Section<'a> {
    pub fn measured(title: &str, parts: Vec<Part<'a>>) -> Self {
        Self { title: title.to_owned(), predicted: false, parts }
    }

    /// Its heading says what it is.
    pub fn predicted(title: &str, parts: Vec<Part<'a>>) -> Self {
        Self { title: format!("Prediction: {title}"), predicted: true, parts }
    }
}

/// A report.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    pub title: String,
    pub warnings: Vec<String>,
    pub sections: Vec<Section<'a>>,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;\
max-width:1300px;margin:2em auto;padding:0 1em}h1,h2{line-height:1.2}h2{margin-top:1.6em}\
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}\
td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}\
td:first-child,th:first-child,.text td,.text th{text-align:left}td{white-space:nowrap}\
.text td{white-space:normal}\
figure{display:inline-block;margin:.5em .7em .5em 0;width:590px;max-width:100%;vertical-align:top}\
figure svg{max-width:100%;height:auto;display:block}figcaption{font-size:13px;color:#555}\
.warning{background:#fff3d6;border-left:4px solid #d08a00;padding:.5em 1em}\
section.predicted{background:#fff7e8;border-left:4px solid #b05400;padding:.1em 1.2em;margin:1.5em 0}\
.badge{font-size:12px;font-weight:bold;color:#fff;background:#b05400;border-radius:3px;\
padding:.2em .6em;margin-left:.8em;vertical-align:middle}.scroll{overflow-x:auto}";

/// A text as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The same, with what stands between backticks as code.
fn prose(text: &str) -> String {
    let piece = |(index, text): (usize, &str)| match index % 2 {
        0 => escaped(text),
        _ => format!("<code>{}</code>", escaped(text)),
    };
    text.split('`').enumerate().map(piece).collect()
}

impl Document<'_> {
    /// One page that loads nothing.
    pub fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
             <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        );
        for warning in &self.warnings {
            page += &format!("<p class=\"warning\">{}</p>\n", escaped(warning));
        }
        for section in &self.sections {
            let (class, badge) = match section.predicted {
                true => ("predicted", "<span class=\"badge\">NOT MEASURED</span>"),
                false => ("measured", ""),
            };
            let title = escaped(&section.title);
            page += &format!("<section class=\"{class}\">\n<h2>{title}{badge}</h2>\n");
            section.parts.iter().for_each(|part| page += &html(part));
            page += "</section>\n";
        }
        page + "</body></html>\n"
    }

    /// The same without the pictures.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", self.title);
        for warning in &self.warnings {
            text += &format!("\n**Warning:** {warning}\n");
        }
        for section in &self.sections {
            text += &format!("\n## {}\n", section.title);
            section.parts.iter().for_each(|part| text += &markdown(part));
        }
        text
    }
}

fn html(part: &Part<'_>) -> String {
    match part {
        Part::Text(text) => format!("<p>{}</p>\n", prose(text)),
        Part::List(items) => {
            let items = items.iter().map(|item| format!("<li>{}</li>\n", prose(item)));
            format!("<ul>\n{}</ul>\n", items.collect::<String>())
        }
        Part::Table(Table { head, rows }) => {
            let line = |tag: &str, cells: &[String]| {
                let cell = |cell: &String| format!("<{tag}>{}</{tag}>", escaped(cell));
                format!("<tr>{}</tr>\n", cells.iter().map(cell).collect::<String>())
            };
            let rows: String = rows.iter().map(|row| line("td", row)).collect();
            let class = if head.len() == 2 { "text" } else { "numbers" };
            let head = line("th", head);
            format!("<div class=\"scroll\"><table class=\"{class}\">\n{head}{rows}</table></div>\n")
        }
        Part::Picture(Figure { name, caption, svg, predicted }) => format!(
            "<figure id=\"{}\" class=\"{}\">{svg}<figcaption>{}</figcaption></figure>\n",
            escaped(name),
            if *predicted { "predicted" } else { "measured" },
            escaped(caption)
        ),
    }
}

fn markdown(part: &Part<'_>) -> String {
    match part {
        Part::Text(text) => format!("\n{text}\n"),
        Part::List(items) => {
            format!("\n{}", items.iter().map(|item| format!("- {item}\n")).collect::<String>())
        }
        Part::Table(Table { head, rows }) => {
            let line = |cells: &[String]| {
                let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                format!("| {} |\n", cells.join(" | "))
            };
            let rows: String = rows.iter().map(|row| line(row)).collect();
            format!("\n{}|{}\n{rows}", line(head), "---|".repeat(head.len()))
        }
        Part::Picture(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_hold_the_same_and_mark_predictions() {
        let figure = Figure {
            name: "a-picture".into(),
            caption: "below & beside".into(),
            svg: "<svg></svg>".into(),
            predicted: true,
        };
        let table = Table::new(&["n", "time"], vec![vec!["1".into(), "<2 | 3".into()]]);
        let document = Document {
            title: "a study".into(),
            warnings: vec!["busy".into()],
            sections: vec![
                Section::measured("speed", vec![Part::Table(table)]),
                Section::predicted(
                    "more",
                    vec![
                        Part::List(vec!["one".into()]),
                        Part::Text("two `a < b`".into()),
                        Part::Picture(&figure),
                    ],
                ),
            ],
        };
        let (html, markdown) = (document.html(), document.markdown());
        for text in ["<h1>a study</h1>", "class=\"warning\">busy<", "<td>&lt;2 | 3</td>"] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(html.contains("<section class=\"predicted\">\n<h2>Prediction: more<span"));
        assert!(html.contains(
            "<figure id=\"a-picture\" class=\"predicted\"><svg></svg><figcaption>below &amp;"
        ));
        assert!(html.contains("<p>two <code>a &lt; b</code></p>"), "{html}");
        let expected = "# a study\n\n**Warning:** busy\n\n## speed\n\n| n | time |\n|---|---|\n\
                        | 1 | <2 \\| 3 |\n\n## Prediction: more\n\n- one\n\ntwo `a < b`\n";
        assert_eq!(markdown, expected);
    }
}
