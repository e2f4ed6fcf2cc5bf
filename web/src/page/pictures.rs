//! Pictures come from files and addresses; what happens to them then is the state's to say.

use std::rc::Rc;

use cropvlm_web::intake::embedded;
use cropvlm_web::state::{Event, Key};
use cropvlm_web::text;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Blob, BlobPropertyBag, File, HtmlImageElement, ReferrerPolicy, RequestCredentials, RequestInit,
    RequestMode, Response, Url,
};

use crate::app::App;

/// A picture from the web may have this many bytes.
const LARGEST: f64 = 64e6;

impl App {
    /// A picture of the person's own was chosen, dropped or pasted.
    pub fn choose(self: &Rc<Self>, file: File) {
        let file = self.table.put_file(file.into());
        self.dispatch(Event::Chosen { file });
    }

    /// An address was typed, pasted, dropped or came with a link.
    pub fn choose_address(self: &Rc<Self>, address: &str) {
        self.dispatch(Event::Address(address.to_owned()));
    }

    /// Fetches a picture. `shown`: the page shows it already.
    pub fn fetch(self: &Rc<Self>, visit: u32, address: String, shown: bool) {
        let app = Rc::clone(self);
        let shown = shown.then(|| self.ui.picture.src());
        spawn_local(async move {
            let fetched = match app.absolute(&address) {
                _ if holds_itself(&address) => unpack(&address),
                Some(url) => fetch(&url).await,
                None => Err(text::NO_ADDRESS.to_owned()),
            };
            let file = fetched.map(|blob| match shown {
                Some(address) => app.table.put_shown(blob, address),
                None => app.table.put(blob),
            });
            app.dispatch(Event::Fetched { visit, file });
        });
    }

    /// The number of the picture on the stage.
    pub fn stage_number(&self) -> Option<u32> {
        self.seen.borrow().as_ref()?.number
    }

    /// An address as the browser would take it here; only those of pages.
    fn absolute(&self, address: &str) -> Option<String> {
        let url = Url::new_with_base(address.trim(), &self.base).ok()?;
        let plain = matches!(url.protocol().as_str(), "http:" | "https:");
        // Names and passwords in an address are for nobody to see.
        (plain && url.username().is_empty() && url.password().is_empty()).then(|| url.href())
    }

    /// Reads a picture into memory and decodes it aside, so that it comes on the stage at once: neither an empty stage nor
    /// a jump is seen.
    pub fn decode(self: &Rc<Self>, picture: u32, file: Key) {
        let app = Rc::clone(self);
        spawn_local(async move {
            app.table.read(file).await;
            let (Some(url), Ok(probe)) = (app.table.address(file), HtmlImageElement::new()) else {
                return;
            };
            probe.set_src(&url);
            let shows = JsFuture::from(probe.decode()).await.is_ok();
            app.dispatch(Event::BrowserShows { picture, shows });
        });
    }
}

/// Whether an address holds its picture itself: `data:`.
fn holds_itself(address: &str) -> bool {
    let scheme = address.trim().get(.."data:".len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// The picture that a `data:` address holds. The page's policy lets none be fetched.
fn unpack(address: &str) -> Result<Blob, String> {
    let (media_type, bytes) = embedded(address).ok_or(text::BROKEN_DATA)?;
    let options = BlobPropertyBag::new();
    options.set_type(&media_type);
    let parts = Array::of1(&Uint8Array::from(bytes.as_slice()));
    Blob::new_with_u8_array_sequence_and_options(&parts, &options)
        .map_err(|_| text::BROKEN.to_owned())
}

/// A picture from the web, without anything of this page or its browser going along.
async fn fetch(url: &str) -> Result<Blob, String> {
    let options = RequestInit::new();
    options.set_mode(RequestMode::Cors);
    options.set_credentials(RequestCredentials::Omit);
    options.set_referrer_policy(ReferrerPolicy::NoReferrer);
    let window = web_sys::window().ok_or(text::BROKEN)?;
    let response: Response = JsFuture::from(window.fetch_with_str_and_init(url, &options))
        .await
        .and_then(JsCast::dyn_into)
        .map_err(|_| text::picture_not_fetched(url))?;
    if !response.ok() {
        return Err(text::picture_refused(url, response.status()));
    }
    let blob: Blob = match response.blob() {
        Ok(blob) => JsFuture::from(blob).await.and_then(JsCast::dyn_into),
        Err(error) => Err(error),
    }
    .map_err(|_| text::picture_not_fetched(url))?;
    if blob.size() > LARGEST {
        return Err(text::PICTURE_TOO_LARGE.to_owned());
    }
    Ok(blob)
}
