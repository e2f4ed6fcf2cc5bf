//! Pictures that need more than the worker: what a person should know about a file, the worker's pixels on the stage where
//! the browser shows a file otherwise, and files that the browser's own decoder or the reader of PDF documents has to read.
//!
//! All of it hangs on the number that the worker knows a picture by, beside the state, which needs none of it: a picture
//! that somebody else reads takes longer, and a stage that shows the worker's pixels is the same stage.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use cropvlm_web::intake::{page_of, paged};
use cropvlm_web::protocol::{MAX_SENT_EDGE, OtherReader, ToWorker};
use cropvlm_web::text;
use js_sys::{Array, Error};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, File, FilePropertyBag, HtmlElement, HtmlInputElement, Url};

use crate::app::App;
use crate::input::on;
use crate::ui::{get, say, show};

/// Pictures that are remembered; a picture that comes back from before gets a new number.
const REMEMBERED: usize = 4;

#[wasm_bindgen(inline_js = "
/** A picture as a PNG, drawn by the browser. A drawing without pixels of its own gets `edge` along its longest side. */
export async function drawnByBrowser(file, edge) {
  const head = await file.slice(0, 1024).text();
  const vector = /<svg[\\s>]/i.test(head);
  const url = URL.createObjectURL(vector ? new Blob([file], { type: 'image/svg+xml' }) : file);
  try {
    const image = new Image();
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
      image.src = url;
    });
    let [width, height] = [image.naturalWidth || edge, image.naturalHeight || edge];
    const longest = Math.max(width, height);
    // Canvases end at 16,384 pixels.
    const scale = vector ? Math.max(1, edge / longest) : Math.min(1, 16384 / longest);
    [width, height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    return await drawn(width, height, (context) => context.drawImage(image, 0, 0, width, height));
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function drawn(width, height, draw) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [width, height];
  await draw(canvas.getContext('2d'), canvas);
  const png = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  if (!png) throw new Error('damaged');
  return png;
}

let reader;

/** A page of a PDF document: [PNG, page, pages]. Fails with `missing`, `locked` or `damaged`. */
export async function pageOfPdf(file, page, edge) {
  const folder = new URL('pdf/', document.baseURI).href;
  // One try that failed is none: the next file asks for it again.
  reader ??= import(`${folder}pdf.min.mjs`).catch((error) => {
    reader = undefined;
    throw error;
  });
  let pdf;
  try {
    pdf = await reader;
  } catch {
    throw new Error('missing');
  }
  pdf.GlobalWorkerOptions.workerSrc = `${folder}pdf.worker.min.mjs`;
  const task = pdf.getDocument({
    data: new Uint8Array(await file.arrayBuffer()),
    cMapUrl: `${folder}cmaps/`,
    standardFontDataUrl: `${folder}standard_fonts/`,
    wasmUrl: `${folder}wasm/`,
    iccUrl: `${folder}iccs/`,
    isEvalSupported: false,
    enableXfa: false,
  });
  try {
    const opened = await task.promise;
    const number = Math.min(page, opened.numPages);
    const one = await opened.getPage(number);
    const natural = one.getViewport({ scale: 1 });
    const viewport = one.getViewport({ scale: edge / Math.max(natural.width, natural.height) });
    const [width, height] = [viewport.width, viewport.height].map((side) => Math.max(1, Math.round(side)));
    const draw = (canvasContext, canvas) => one.render({ canvas, canvasContext, viewport, background: 'white' }).promise;
    return [await drawn(width, height, draw), number, opened.numPages];
  } catch (error) {
    throw new Error(error?.name === 'PasswordException' ? 'locked' : 'damaged');
  } finally {
    task.destroy();
  }
}
")]
extern "C" {
    #[wasm_bindgen(js_name = drawnByBrowser, catch)]
    async fn drawn_by_browser(file: &Blob, edge: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = pageOfPdf, catch)]
    async fn page_of_pdf(file: &Blob, page: u32, edge: u32) -> Result<JsValue, JsValue>;
}

/// What is known about a picture beside the state.
#[derive(Default)]
struct Known {
    file: Option<Blob>,
    size: Option<(u32, u32)>,
    notes: Vec<String>,
    /// What was left out beside it, a sentence.
    left_out: Option<String>,
    /// Who read it beside the worker, a sentence.
    reader: Option<String>,
    /// Page, and how many there are.
    pages: Option<(u32, u32)>,
    /// The worker was asked for its pixels.
    asked: bool,
    /// Their address.
    redrawn: Option<String>,
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some(address) = &self.redrawn {
            Url::revoke_object_url(address).ok();
        }
    }
}

/// All of it, with the elements that show it.
pub struct Readers {
    known: RefCell<BTreeMap<u32, Known>>,
    /// What was left out beside the file that is chosen next.
    left_out: RefCell<Option<String>>,
    notes: HtmlElement,
    pages: HtmlElement,
    page: HtmlInputElement,
    page_of: HtmlElement,
}

impl Readers {
    /// Finds the elements.
    pub fn find(document: &web_sys::Document) -> Result<Readers, JsValue> {
        Ok(Readers {
            known: RefCell::default(),
            left_out: RefCell::default(),
            notes: get(document, "picture-notes")?,
            pages: get(document, "pages")?,
            page: get(document, "page")?,
            page_of: get(document, "page-of")?,
        })
    }

    fn change<T>(&self, picture: u32, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.borrow_mut();
        let result = change(known.entry(picture).or_default());
        while known.len() > REMEMBERED {
            known.pop_first();
        }
        result
    }

    /// The worker gets a file.
    pub fn posted(&self, picture: u32, file: &Blob) {
        let left_out = self.left_out.take();
        self.change(picture, |known| {
            known.file = Some(file.clone());
            known.left_out = left_out;
        });
    }

    /// What was left out beside the file that is chosen next.
    pub fn leave_out(&self, sentence: Option<String>) {
        self.left_out.replace(sentence);
    }

    /// The address to show a picture from: its own, or that of the worker's pixels.
    pub fn address(&self, picture: u32, own: &str) -> String {
        let known = self.known.borrow();
        let redrawn = known.get(&picture).and_then(|known| known.redrawn.clone());
        redrawn.unwrap_or_else(|| own.to_owned())
    }

    /// Draws what a person should know about the picture on the stage.
    pub fn draw(&self, picture: Option<u32>) {
        let known = self.known.borrow();
        let known = picture.and_then(|picture| known.get(&picture));
        let known = known.filter(|known| known.size.is_some());
        let told: Vec<&str> = known
            .into_iter()
            .flat_map(|known| {
                [&known.left_out, &known.reader]
                    .into_iter()
                    .flatten()
                    .chain(&known.notes)
            })
            .map(String::as_str)
            .collect();
        let told = told.join(" ");
        if self.notes.text_content().as_deref() != Some(&told) {
            say(&self.notes, (!told.is_empty()).then_some(&told));
        }
        let pages = known.and_then(|known| known.pages);
        show(&self.pages, pages.is_some_and(|(_, pages)| pages > 1));
        if let Some((page, pages)) = pages {
            self.page.set_max(&pages.to_string());
            // What is being typed stays.
            if self.page.value() != page.to_string() && !self.is_typed_in() {
                self.page.set_value(&page.to_string());
            }
            self.page_of.set_text_content(Some(&text::of_pages(pages)));
        }
    }

    fn is_typed_in(&self) -> bool {
        let document = self.page.owner_document();
        let active = document.and_then(|document| document.active_element());
        active.is_some_and(|active| active == *self.page.as_ref())
    }
}

/// Wires the stage's picture and the choice of a page.
pub fn wire(app: &Rc<App>) {
    // Whatever else is known: what the browser shows must have the worker's sides, or the box lies somewhere else.
    on(&app.ui.picture, "load", app, |app, _| {
        let image = &app.ui.picture;
        let (width, height) = (image.natural_width(), image.natural_height());
        app.compare_shown(|(w, h)| {
            // The worker's own picture is smaller where the original is huge.
            let shape = |a: u32, b: u32| f64::from(a) / f64::from(b.max(1));
            (shape(width, height) / shape(w, h) - 1.0).abs() > 0.02
        });
    });
    on(&app.ui.picture, "error", app, |app, _| {
        app.compare_shown(|_| true)
    });
    on(&app.readers.page, "change", app, |app, _| {
        app.turn_to_page()
    });
}

impl App {
    /// The worker has read a picture.
    pub fn read(&self, picture: u32, size: (u32, u32), notes: Vec<String>, redraw: bool) {
        let ask = self.readers.change(picture, |known| {
            known.size = Some(size);
            known.notes = notes;
            redraw && !std::mem::replace(&mut known.asked, true)
        });
        if ask {
            self.post(&ToWorker::Show { picture }, None);
        }
    }

    /// The picture on the stage has come, or has not: where it is `otherwise`, the worker's pixels take its place.
    fn compare_shown(&self, otherwise: impl Fn((u32, u32)) -> bool) {
        let Some(picture) = self.stage_number() else {
            return;
        };
        let ask = self.readers.change(picture, |known| {
            let differs = known.size.is_some_and(otherwise);
            differs && !std::mem::replace(&mut known.asked, true)
        });
        if ask {
            self.post(&ToWorker::Show { picture }, None);
        }
    }

    /// The worker's pixels are there.
    pub fn redrawn(&self, picture: u32, file: Option<Blob>) {
        let address = file.and_then(|file| Url::create_object_url_with_blob(&file).ok());
        if let Some(address) = address {
            self.readers
                .change(picture, |known| known.redrawn = Some(address));
        }
    }

    /// The worker cannot read a file: somebody else does, and the worker gets a PNG. `refuse` says that nobody can.
    pub fn read_otherwise(
        self: &Rc<Self>,
        picture: u32,
        other: OtherReader,
        why: String,
        refuse: impl FnOnce(&Rc<App>, String) + 'static,
    ) {
        let file = self.readers.change(picture, |known| known.file.clone());
        let Some(file) = file else {
            return refuse(self, why);
        };
        let app = Rc::clone(self);
        spawn_local(async move {
            let read = match other {
                OtherReader::Browser => drawn_by_browser(&file, MAX_SENT_EDGE)
                    .await
                    .ok()
                    .and_then(|png| png.dyn_into().ok())
                    .map(|png| (png, text::BY_BROWSER.to_owned(), None))
                    .ok_or(why),
                OtherReader::Pdf => pdf(&file).await,
            };
            match read {
                Ok((png, reader, pages)) => {
                    app.readers.change(picture, |known| {
                        known.reader = Some(reader);
                        known.pages = pages;
                    });
                    if let Some(link) = app.link.borrow_mut().as_mut() {
                        link.post(&ToWorker::Picture { picture }, &png);
                    }
                }
                Err(why) => refuse(&app, why),
            }
        });
    }

    /// Another page of the document on the stage: a picture of its own, that can be undone.
    fn turn_to_page(self: &Rc<Self>) {
        let Some(picture) = self.stage_number() else {
            return;
        };
        let known = |known: &mut Known| known.file.clone().zip(known.pages);
        let Some((file, (now, pages))) = self.readers.change(picture, known) else {
            return;
        };
        let wanted: u32 = self.readers.page.value().parse().unwrap_or(now);
        let page = wanted.clamp(1, pages);
        self.readers.page.set_value(&page.to_string());
        if page == now {
            return;
        }
        let options = FilePropertyBag::new();
        options.set_type(&paged(page));
        let parts = Array::of1(&JsValue::from(file));
        if let Ok(file) = File::new_with_blob_sequence_and_options(&parts, "document.pdf", &options)
        {
            self.choose(file);
        }
    }
}

type Read = (Blob, String, Option<(u32, u32)>);

async fn pdf(file: &Blob) -> Result<Read, String> {
    let read = page_of_pdf(file, page_of(&file.type_()), MAX_SENT_EDGE).await;
    let parts: Array = read.and_then(JsCast::dyn_into).map_err(|error| {
        let code = error
            .dyn_ref::<Error>()
            .map(|error| String::from(error.message()));
        let why = match code.as_deref() {
            Some("missing") => text::NO_PDF_READER,
            Some("locked") => text::PDF_LOCKED,
            _ => text::PDF_DAMAGED,
        };
        why.to_owned()
    })?;
    let number = |at| parts.get(at).as_f64().unwrap_or(1.0) as u32;
    let (page, pages) = (number(1), number(2));
    let png = parts.get(0).dyn_into().map_err(|_| text::PDF_DAMAGED)?;
    Ok((png, text::pdf_page(page, pages), Some((page, pages))))
}
