//! What only a browser can hold: files, crops and encoded pictures, by the numbers that the state knows them by.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use cropvlm_web::protocol::Tiles;
use cropvlm_web::state::Key;
use js_sys::Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, Url};

/// A `blob:` address; the memory behind it is given back when nobody uses it any more.
#[derive(Debug)]
pub struct Address(pub String);

impl Address {
    /// An address for a blob.
    pub fn of(blob: &Blob) -> Option<Rc<Address>> {
        let url = Url::create_object_url_with_blob(blob).ok()?;
        Some(Rc::new(Address(url)))
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        Url::revoke_object_url(&self.0).ok();
    }
}

/// A picture as the network gets it, see [`cropvlm_web::protocol::FromWorker::Canvas`].
pub struct Canvas {
    pub picture: u32,
    pub tiles: Option<Tiles>,
    pub address: Rc<Address>,
}

struct Held {
    blob: Blob,
    address: Option<Rc<Address>>,
    /// It may still lie on a disk, where it can be changed or moved.
    on_disk: bool,
}

/// All of it.
#[derive(Default)]
pub struct Table {
    held: RefCell<HashMap<Key, Held>>,
    next: Cell<Key>,
}

impl Table {
    fn add(&self, blob: Blob, address: Option<Rc<Address>>, on_disk: bool) -> Key {
        self.next.set(self.next.get() + 1);
        let held = Held {
            blob,
            address,
            on_disk,
        };
        self.held.borrow_mut().insert(self.next.get(), held);
        self.next.get()
    }

    /// Holds something that lies in memory.
    pub fn put(&self, blob: Blob) -> Key {
        self.add(blob, None, false)
    }

    /// Holds a file of the person's disk.
    pub fn put_file(&self, file: Blob) -> Key {
        self.add(file, None, true)
    }

    /// Holds something that the page shows already, at an address.
    pub fn put_shown(&self, blob: Blob, address: String) -> Key {
        self.add(blob, Some(Rc::new(Address(address))), false)
    }

    /// What a number stands for.
    pub fn blob(&self, key: Key) -> Option<Blob> {
        self.held.borrow().get(&key).map(|held| held.blob.clone())
    }

    /// Its address, for an `<img>`.
    pub fn address(&self, key: Key) -> Option<String> {
        let mut held = self.held.borrow_mut();
        let held = held.get_mut(&key)?;
        if held.address.is_none() {
            held.address = Address::of(&held.blob);
        }
        held.address.as_ref().map(|address| address.0.clone())
    }

    /// Reads a file into memory, so that what was shown stays as it was when the file is changed or moved.
    pub async fn read(&self, key: Key) {
        let file = {
            let held = self.held.borrow();
            let held = held.get(&key).filter(|held| held.on_disk);
            held.map(|held| held.blob.clone())
        };
        let Some(file) = file else { return };
        let Ok(bytes) = JsFuture::from(file.array_buffer()).await else {
            return; // the worker says what is wrong with it
        };
        let options = BlobPropertyBag::new();
        options.set_type(&file.type_());
        let parts = Array::of1(&bytes);
        let blob = Blob::new_with_buffer_source_sequence_and_options(&parts, &options);
        if let (Ok(blob), Some(held)) = (blob, self.held.borrow_mut().get_mut(&key)) {
            held.blob = blob;
            held.on_disk = false;
        }
    }

    /// Gives back what is of no more use.
    pub fn keep(&self, used: impl Fn(Key) -> bool) {
        self.held.borrow_mut().retain(|key, _| used(*key));
    }
}
