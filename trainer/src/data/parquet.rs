//! Parquet files as Hugging Face's `datasets` writes them: questions in plain columns, the picture in
//! a column of two fields, `bytes` and `path` (its `Image` feature), found by that shape.
//!
//! Only the columns that a sample is made of are read. Pictures are read one by one, as encoded files:
//! a reader stands in a row group and goes forward with the questions, so a shard's pictures never
//! stand in memory together. Going back inside a row group means skipping through it again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use parquet::basic::{LogicalType, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{AsBytes, ByteArrayType};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::{ColumnDescriptor, Type};
use serde_json::Value;

use super::moment::{date, moment, time};
use super::record::{self, Record};

/// Where a shard's pictures are, by number of the leaf columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pictures {
    bytes: Option<usize>,
    path: Option<usize>,
}

/// One parquet file. Reading pictures takes a lock, everything else does not.
pub struct Shard {
    path: PathBuf,
    name: String,
    reader: SerializedFileReader<File>,
    pictures: Pictures,
    /// First row of every row group, and the number of rows at the end.
    groups: Vec<usize>,
    /// Where reading of the bytes stands, and of the paths.
    cursors: [Mutex<Standing>; 2],
}

/// Where reading stands. The reader is kept only while rows are asked for in their order: it holds a
/// page, tens of megabytes, and who jumps about in eighty shards would hold eighty of them.
#[derive(Default)]
struct Standing {
    /// The row behind the last one.
    expected: usize,
    open: Option<Cursor>,
}

/// Rows that may be left out in what still counts as going on.
const STEP: usize = 16;

/// A column reader inside a row group.
struct Cursor {
    /// Row of the file that is read next.
    next: usize,
    /// First row behind the row group.
    end: usize,
    column: ColumnReaderImpl<ByteArrayType>,
    /// Definition level at which there is a value.
    defined: i16,
}

impl Shard {
    /// Opens a file; `name` is what it is called in samples.
    ///
    /// # Errors
    /// No parquet, no column of pictures, no column of questions, each with the columns there are.
    pub fn open(path: &Path, name: String) -> Result<Arc<Self>> {
        let file =
            File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let reader = SerializedFileReader::new(file).map_err(|e| {
            anyhow::anyhow!(
                "{}: no readable parquet file ({e}); if its download was broken off, get it again",
                path.display()
            )
        })?;
        let metadata = reader.metadata();
        let mut groups = vec![0];
        for group in metadata.row_groups() {
            let before = groups.last().copied().unwrap_or(0);
            groups.push(before + usize::try_from(group.num_rows()).unwrap_or(0));
        }
        let schema = metadata.file_metadata().schema_descr();
        let columns = schema.root_schema().get_fields();
        record::require_question(columns.iter().map(|c| c.name()))
            .with_context(|| path.display().to_string())?;
        let pictures = find_pictures(schema.root_schema(), schema.columns())
            .with_context(|| path.display().to_string())?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            name,
            pictures,
            groups,
            cursors: Default::default(),
            reader,
        }))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is called in samples.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.groups.last().copied().unwrap_or(0)
    }

    /// Names and types of all columns.
    pub fn columns(&self) -> Vec<(String, String)> {
        let schema = self.reader.metadata().file_metadata().schema();
        let fields = schema.get_fields().iter();
        fields
            .map(|field| (field.name().to_owned(), kind_of(field)))
            .collect()
    }

    /// The records in their order, without pictures.
    ///
    /// # Errors
    /// A damaged file; each record may fail, too.
    pub fn records(&self) -> Result<impl Iterator<Item = Result<Record>>> {
        let schema = self.reader.metadata().file_metadata().schema();
        let wanted = |name: &str| record::READ.iter().any(|names| names.contains(&name));
        let fields: Vec<_> = schema
            .get_fields()
            .iter()
            .filter(|f| wanted(f.name()))
            .cloned()
            .collect();
        let projection = Type::group_type_builder(schema.name())
            .with_fields(fields)
            .build()
            .with_context(|| self.path.display().to_string())?;
        let rows = self
            .reader
            .get_row_iter(Some(projection))
            .with_context(|| self.path.display().to_string())?;
        let nanoseconds: Vec<&str> = schema
            .get_fields()
            .iter()
            .filter(|field| in_nanoseconds(field))
            .map(|field| field.name())
            .collect();
        Ok(rows.enumerate().map(move |(row, fields)| {
            let fields = fields.with_context(|| self.place(row))?;
            let each = fields.get_column_iter().map(|(name, field)| {
                let value = match field {
                    Field::Long(v) if nanoseconds.contains(&name.as_str()) => {
                        moment(*v, 1_000_000_000).into()
                    }
                    field => value(field),
                };
                (name.clone(), value)
            });
            Ok(each.collect())
        }))
    }

    /// The picture of a row as an encoded file; `None` where the row has none.
    ///
    /// # Errors
    /// A row that is not there, a damaged file.
    pub fn picture(&self, row: usize) -> Result<Option<Vec<u8>>> {
        self.leaf(self.pictures.bytes, &self.cursors[0], row)
    }

    /// The path that a row gives for its picture, where it has one.
    ///
    /// # Errors
    /// As [`Shard::picture`]; a path that is no text.
    pub fn picture_path(&self, row: usize) -> Result<Option<String>> {
        let bytes = self.leaf(self.pictures.path, &self.cursors[1], row)?;
        bytes
            .map(|b| String::from_utf8(b).with_context(|| self.place(row)))
            .transpose()
    }

    fn leaf(
        &self,
        column: Option<usize>,
        standing: &Mutex<Standing>,
        row: usize,
    ) -> Result<Option<Vec<u8>>> {
        let Some(column) = column else {
            return Ok(None);
        };
        let mut standing = standing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = match standing.open.take() {
            Some(open) if (open.next..open.end).contains(&row) => open,
            _ => self.cursor_at(column, row)?,
        };
        // A reader that failed is not put back: the next picture opens a new one.
        let bytes = open.read(row).with_context(|| self.place(row))?;
        let goes_on = (standing.expected..=standing.expected + STEP).contains(&row);
        standing.expected = row + 1;
        standing.open = goes_on.then_some(open);
        Ok(bytes)
    }

    fn cursor_at(&self, column: usize, row: usize) -> Result<Cursor> {
        let group = self.groups.partition_point(|&first| first <= row);
        let (Some(&end), Some(&next)) = (
            self.groups.get(group),
            self.groups.get(group.wrapping_sub(1)),
        ) else {
            bail!(
                "{}: there is no row {row}, there are {}",
                self.path.display(),
                self.rows()
            );
        };
        let open = || -> Result<Cursor> {
            let schema = self.reader.metadata().file_metadata().schema_descr();
            let defined = schema.column(column).max_def_level();
            let reader = self.reader.get_row_group(group - 1)?;
            match reader.get_column_reader(column)? {
                ColumnReader::ByteArrayColumnReader(column) => Ok(Cursor {
                    next,
                    end,
                    column,
                    defined,
                }),
                _ => bail!("the column of pictures holds no bytes"),
            }
        };
        open().with_context(|| self.place(row))
    }

    fn place(&self, row: usize) -> String {
        format!("{}, row {row}", self.path.display())
    }
}

impl Cursor {
    fn read(&mut self, row: usize) -> Result<Option<Vec<u8>>> {
        let skip = row - self.next;
        if skip > 0 && self.column.skip_records(skip)? != skip {
            bail!("column of pictures: it ends before this row; the file is damaged");
        }
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (records, ..) = self
            .column
            .read_records(1, Some(&mut levels), None, &mut values)?;
        if records != 1 {
            bail!("column of pictures: it ends before this row; the file is damaged");
        }
        self.next = row + 1;
        let there = self.defined == 0 || levels.first() == Some(&self.defined);
        Ok(values
            .first()
            .filter(|_| there)
            .map(|b| b.as_bytes().to_vec()))
    }
}

/// The column of pictures: `image` where there is one, else the only one of its shape.
fn find_pictures(schema: &Type, leaves: &[Arc<ColumnDescriptor>]) -> Result<Pictures> {
    let leaf = |path: &[&str]| {
        leaves.iter().position(|column| {
            column
                .path()
                .parts()
                .iter()
                .map(String::as_str)
                .eq(path.iter().copied())
                && column.physical_type() == Physical::BYTE_ARRAY
                && column.max_rep_level() == 0
        })
    };
    let of = |name: &str| {
        let pictures = Pictures {
            bytes: leaf(&[name, "bytes"]),
            path: leaf(&[name, "path"]),
        };
        if pictures.bytes.is_some() {
            return Some(pictures);
        }
        // Not a struct: the picture itself, or its path.
        let at = leaf(&[name])?;
        let is_text = matches!(leaves[at].logical_type_ref(), Some(LogicalType::String))
            || leaves[at].converted_type() == parquet::basic::ConvertedType::UTF8;
        Some(if is_text {
            Pictures {
                bytes: None,
                path: Some(at),
            }
        } else {
            Pictures {
                bytes: Some(at),
                path: None,
            }
        })
    };
    if let Some(found) = of("image") {
        return Ok(found);
    }
    let names: Vec<&str> = schema.get_fields().iter().map(|f| f.name()).collect();
    let shaped: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| leaf(&[name, "bytes"]).is_some())
        .collect();
    let paths = record::PATH
        .iter()
        .copied()
        .filter(|name| names.contains(name));
    match shaped[..] {
        [name] => of(name),
        // Without pictures: a table of paths.
        [] => paths.filter_map(of).next(),
        _ => bail!(
            "several columns hold pictures ({}): only one picture a question is read; name it image",
            shaped.join(", ")
        ),
    }
    .with_context(|| {
        format!(
            "no column holds pictures: image with the fields bytes and path is needed; there are {}",
            names.join(", ")
        )
    })
}

/// A column's type in a word.
fn kind_of(field: &Type) -> String {
    if field.is_group() {
        let names: Vec<&str> = field.get_fields().iter().map(|f| f.name()).collect();
        return match names[..] {
            ["bytes", "path"] | ["path", "bytes"] => "picture".to_owned(),
            ["list"] | ["array"] | ["bag"] => "list".to_owned(),
            _ => format!("record of {}", names.join(", ")),
        };
    }
    let text = matches!(
        field.get_basic_info().logical_type_ref(),
        Some(LogicalType::String)
    ) || field.get_basic_info().converted_type() == parquet::basic::ConvertedType::UTF8;
    match field.get_physical_type() {
        _ if text => "text",
        Physical::BOOLEAN => "truth value",
        Physical::INT32 | Physical::INT64 | Physical::INT96 => "integer",
        Physical::FLOAT | Physical::DOUBLE => "number",
        Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY => "bytes",
    }
    .to_owned()
}

/// Whether a column holds moments as pandas writes them: the reader knows them as plain numbers.
fn in_nanoseconds(field: &Type) -> bool {
    match field.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(moment)) => moment.unit == TimeUnit::NANOS,
        _ => false,
    }
}

/// A field as a JSON value, dates and exact decimals as text. What JSON has no form for becomes text that says its type, which is then
/// refused where text was expected of another kind.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(v) => (*v).into(),
        Field::Byte(v) => (*v).into(),
        Field::Short(v) => (*v).into(),
        Field::Int(v) => (*v).into(),
        Field::Long(v) => (*v).into(),
        Field::UByte(v) => (*v).into(),
        Field::UShort(v) => (*v).into(),
        Field::UInt(v) => (*v).into(),
        Field::ULong(v) => (*v).into(),
        Field::Float(v) => (*v).into(),
        Field::Double(v) => (*v).into(),
        Field::Float16(v) => f32::from(*v).into(),
        Field::Str(v) => v.clone().into(),
        Field::Date(v) => date(i64::from(*v)).into(),
        Field::TimeMillis(v) => time(i64::from(*v), 1_000).into(),
        Field::TimeMicros(v) => time(*v, 1_000_000).into(),
        Field::TimestampMillis(v) => moment(*v, 1_000).into(),
        Field::TimestampMicros(v) => moment(*v, 1_000_000).into(),
        // The parquet crate would panic over others.
        Field::Decimal(v) if v.scale() >= 0 && v.precision() > v.scale() => {
            field.to_string().into()
        }
        Field::Bytes(v) => match std::str::from_utf8(v.as_bytes()) {
            Ok(text) => text.into(),
            Err(_) => serde_json::json!({"bytes": v.len()}),
        },
        Field::Group(row) => row
            .get_column_iter()
            .map(|(name, field)| (name.clone(), value(field)))
            .collect::<Record>()
            .into(),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        other => serde_json::json!({"value": format!("{other:?}")}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_decimals_are_answers_as_people_write_them() {
        use parquet::data_type::{ByteArray, Int32Type, Int64Type};
        use parquet::file::writer::SerializedFileWriter;
        let schema = "message q { required binary question (UTF8); required binary image (UTF8); \
            required int32 answer (DATE); required int64 id (TIMESTAMP(NANOS,true)); \
            required int32 kind (DECIMAL(4,2)); }";
        let schema = parquet::schema::parser::parse_message_type(schema).expect("schema");
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("dates.parquet");
        let file = File::create(&path).expect("file");
        let properties = Default::default();
        let mut writer =
            SerializedFileWriter::new(file, Arc::new(schema), properties).expect("writer");
        let mut group = writer.next_row_group().expect("group");
        for number in 0..5 {
            let mut column = group.next_column().expect("column").expect("column");
            match number {
                0 | 1 => {
                    let text = [ByteArray::from("Q?")];
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&text, None, None)
                }
                2 => column
                    .typed::<Int32Type>()
                    .write_batch(&[17_967], None, None),
                3 => {
                    let nanoseconds = [17_967 * 86_400 * 1_000_000_000 + 1_500_000_000];
                    column
                        .typed::<Int64Type>()
                        .write_batch(&nanoseconds, None, None)
                }
                _ => column.typed::<Int32Type>().write_batch(&[1250], None, None),
            }
            .expect("written");
            column.close().expect("closed");
        }
        group.close().expect("closed");
        writer.close().expect("closed");
        let shard = Shard::open(&path, "dates".into()).expect("shard");
        let record = shard
            .records()
            .expect("records")
            .next()
            .expect("a row")
            .expect("record");
        assert_eq!(record["answer"], "2019-03-12");
        assert_eq!(record["id"], "2019-03-12 00:00:01.5");
        assert_eq!(record["kind"], "12.50");
    }

    #[test]
    fn pictures_are_the_same_in_whatever_order_they_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        for (name, rows) in [
            ("docvqa.parquet", 3),
            ("textvqa/train-00000-of-00002.parquet", 2),
        ] {
            let shard = Shard::open(&folder.join(name), name.to_owned()).expect("shard");
            assert_eq!(shard.rows(), rows);
            let read = |row| shard.picture(row).expect("row").expect("picture");
            let pictures: Vec<Vec<u8>> = (0..rows).map(read).collect();
            for row in [rows - 1, 0, 0, 1, rows - 1, rows - 1, 1, 0] {
                assert_eq!(read(row), pictures[row], "{name}, row {row}");
            }
            let said = shard.picture(rows).expect_err("no such row").to_string();
            assert!(said.contains(&format!("no row {rows}")), "{said}");
        }
    }
}
