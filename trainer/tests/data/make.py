"""Makes the parquet files that `trainer/tests/data.rs` reads, in the layouts of the hub's data sets.

    python trainer/tests/data/make.py

Written with Hugging Face `datasets` (its `Image` feature and its metadata) and pyarrow, from pictures
that are drawn here. Versions it was last run with: datasets 5.2.0, pyarrow 26.0.1, Pillow 13.0.0.
"""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, Sequence, Value
from PIL import Image as Pillow

HERE = Path(__file__).parent


def picture(width, height, colour, form="PNG"):
    buffer = io.BytesIO()
    Pillow.new("RGB", (width, height), colour).save(buffer, form)
    return {"bytes": buffer.getvalue(), "path": None}


def textvqa():
    """lmms-lab/textvqa: ids are numbers, sizes are given, ten answers, two shards, many columns."""
    features = Features(
        {
            "image_id": Value("string"),
            "question_id": Value("int32"),
            "question": Value("string"),
            "question_tokens": Sequence(Value("string")),
            "image": Image(),
            "image_width": Value("int32"),
            "image_height": Value("int32"),
            "answers": Sequence(Value("string")),
            "ocr_tokens": Sequence(Value("string")),
            "set_name": Value("string"),
        }
    )
    red, blue = picture(40, 30, "red", "JPEG"), picture(20, 50, "blue", "JPEG")

    def row(image_id, number, question, image, size, answers):
        return {
            "image_id": image_id,
            "question_id": number,
            "question": question,
            "question_tokens": question.split(),
            "image": image,
            "image_width": size[0],
            "image_height": size[1],
            "answers": answers,
            "ocr_tokens": [],
            "set_name": "train",
        }

    shards = [
        [
            row("0054c91397f2fe05", 0, "what is the brand of phone?", red, (40, 30), ["nokia"] * 9 + ["toshiba"]),
            row("0054c91397f2fe05", 1, "what colour is it?", red, (40, 30), ["red"] * 10),
        ],
        [row("005635e119b9f32f", 2, "what year is shown?", blue, (20, 50), ["2011"] * 10)],
    ]
    for i, rows in enumerate(shards):
        dataset = Dataset.from_list(rows, features=features)
        dataset.to_parquet(HERE / "textvqa" / f"train-{i:05}-of-{len(shards):05}.parquet", batch_size=1)


def docvqa():
    """lmms-lab/DocVQA: ids are text, no sizes; the same page twice; no answers in the last row."""
    features = Features(
        {
            "questionId": Value("string"),
            "question": Value("string"),
            "question_types": Sequence(Value("string")),
            "image": Image(),
            "docId": Value("int64"),
            "ucsf_document_id": Value("string"),
            "ucsf_document_page_no": Value("string"),
            "answers": Sequence(Value("string")),
            "data_split": Value("string"),
        }
    )
    page, other = picture(60, 80, "white"), picture(33, 44, "gray")
    rows = [
        ("49153", "What is the actual value per 1000?", ["table/list", "form"], page, ["0.28"]),
        ("24580", "Who signed?", ["handwritten"], page, ["J. Doe", "J Doe"]),
        ("57349", "Which year?", [], other, None),
    ]
    dataset = Dataset.from_list(
        [
            {
                "questionId": number,
                "question": question,
                "question_types": types,
                "image": image,
                "docId": 14465,
                "ucsf_document_id": "pybv0228",
                "ucsf_document_page_no": "81",
                "answers": answers,
                "data_split": "val",
            }
            for number, question, types, image, answers in rows
        ],
        features=features,
    )
    dataset.to_parquet(HERE / "docvqa.parquet")


def several():
    """Several questions a row, pictures in a column of another name, one of them a path."""
    qas = [[{"question": "A?", "answers": ["1"]}, {"question": "B?", "answers": ["2", "3"]}], [{"question": "C?", "answers": []}]]
    table = pa.table(
        {
            "photo": pa.array(
                [picture(10, 12, "green"), {"bytes": None, "path": "beside.png"}],
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            ),
            "qas": pa.array(qas, pa.list_(pa.struct([("question", pa.string()), ("answers", pa.list_(pa.string()))]))),
        }
    )
    pq.write_table(table, HERE / "several.parquet", compression="zstd")
    Pillow.new("RGB", (14, 16), "black").save(HERE / "beside.png")


def wrong():
    """What has to be refused: no picture, no question, a question that is a number list, none at all."""
    image = pa.array([picture(8, 8, "red")] * 2, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    text = pa.array(["a?", "b?"])
    pq.write_table(pa.table({"question": text, "label": text}), HERE / "no-picture.parquet")
    pq.write_table(pa.table({"image": image, "caption": text}), HERE / "no-question.parquet")
    pq.write_table(pa.table({"image": image, "question": [[1], [2]]}), HERE / "wrong-type.parquet")
    pq.write_table(pa.table({"image": image, "question": ["a?", None]}), HERE / "no-text.parquet")
    broken = pa.array([picture(8, 8, "red"), {"bytes": b"no picture", "path": None}], image.type)
    pq.write_table(pa.table({"image": broken, "question": text}), HERE / "broken-picture.parquet")
    empty = pa.array([picture(8, 8, "red"), {"bytes": None, "path": None}], image.type)
    pq.write_table(pa.table({"image": empty, "question": text}), HERE / "empty-picture.parquet")


if __name__ == "__main__":
    (HERE / "textvqa").mkdir(exist_ok=True)
    textvqa()
    docvqa()
    several()
    wrong()
