//! The picture as the network gets it: a map policy's canvas, a text policy's tiles, and how fine they are.

use std::rc::Rc;

use cropvlm_web::protocol::{TILES_PER_EDGE, Tiles, ToWorker};
use cropvlm_web::state::Event;
use cropvlm_web::text;
use wasm_bindgen::JsCast;
use web_sys::{Blob, HtmlElement};

use crate::app::App;
use crate::input::on;
use crate::table::{Address, Canvas};
use crate::ui::show;
use crate::view;

/// Wires what belongs to it.
pub fn wire(app: &Rc<App>) {
    let tools = &app.ui.tools;
    on(&tools.canvas_toggle, "change", app, |app, _| {
        app.show_canvas();
        view::draw_views(app);
    });
    on(&tools.inside, "toggle", app, |app, _| app.show_canvas());
    on(&tools.tiles_per_edge, "change", app, |app, _| {
        app.post(&ToWorker::TilesPerEdge(app.tiles_per_edge()), None);
        // Where it looks depends on the tiles.
        app.dispatch(Event::OtherTiles);
        app.show_canvas();
        app.show_attention();
        view::draw_views(app);
    });
}

impl App {
    /// Tiles along the longest edge that the person wishes, see [`ToWorker::TilesPerEdge`].
    pub fn tiles_per_edge(&self) -> u32 {
        self.ui.tools.tiles_per_edge.value().parse().unwrap_or(1)
    }

    /// Offers a text policy's sizes; a map policy has one.
    pub fn offer_tiles_per_edge(&self, tile: Option<u32>) {
        let tools = &self.ui.tools;
        show(&tools.tiled, tile.is_some());
        let Some(tile) = tile else { return };
        if tools.tiles_per_edge.length() > 0 {
            return;
        }
        for tiles_per_edge in TILES_PER_EDGE {
            let words = text::tiles_per_edge(tile, tiles_per_edge);
            self.option(&tools.tiles_per_edge, &tiles_per_edge.to_string(), &words);
        }
    }

    /// Asks for the picture as the network gets it, where that is wanted and not there yet.
    pub fn show_canvas(&self) {
        let tools = &self.ui.tools;
        let number = {
            let state = self.state.borrow();
            let writes = state.running.as_ref().is_some_and(|r| r.tile.is_some());
            let wanted =
                tools.canvas_toggle.checked() || writes && tools.inside.has_attribute("open");
            let picture = state.settled().map(|shown| &shown.picture);
            let picture = picture.filter(|picture| wanted && picture.size.is_some());
            let number = picture.map(|picture| picture.number);
            number.filter(|number| {
                self.canvas_of(self.canvas.borrow().as_ref(), *number)
                    .is_none()
            })
        };
        if let Some(picture) = number {
            self.post(&ToWorker::Canvas { picture }, None);
        }
    }

    /// The picture as the network gets it has come.
    pub fn take_canvas(&self, picture: u32, tiles: Option<Tiles>, strip: Option<Blob>) {
        if let Some(address) = strip.as_ref().and_then(Address::of) {
            *self.canvas.borrow_mut() = Some(Canvas {
                picture,
                tiles,
                address,
            });
        }
        view::draw_views(self);
    }

    /// A canvas, if it is this picture's and as fine as is wished.
    fn canvas_of<'a>(&self, canvas: Option<&'a Canvas>, picture: u32) -> Option<&'a Canvas> {
        let fine = |canvas: &&Canvas| {
            let tiles = canvas.tiles;
            tiles.is_none_or(|tiles| tiles.tiles_per_edge == self.tiles_per_edge())
        };
        canvas
            .filter(|canvas| canvas.picture == picture)
            .filter(fine)
    }

    /// Draws it: over the picture where that is wanted, a text policy's tiles also beside the prompt.
    pub fn draw_canvas(&self, picture: Option<u32>) {
        let tools = &self.ui.tools;
        let held = self.canvas.borrow();
        let canvas = picture.and_then(|number| self.canvas_of(held.as_ref(), number));
        let over = canvas.filter(|_| tools.canvas_toggle.checked());
        // Tiles show more than the global image.
        let split = |canvas: &&Canvas| canvas.tiles.filter(|tiles| tiles.rows > 0);
        let whole = over.filter(|canvas| split(canvas).is_none());
        show(&tools.canvas, whole.is_some());
        if let Some(canvas) = whole.filter(|canvas| tools.canvas.src() != canvas.address.0) {
            tools.canvas.set_src(&canvas.address.0);
        }
        let mosaic = over.and_then(|canvas| Some((canvas, split(&canvas)?)));
        show(&tools.mosaic, mosaic.is_some());
        if let Some((canvas, tiles)) = mosaic {
            self.draw_tiles(&tools.mosaic, canvas, &tiles, false);
        }
        let tiled = canvas.and_then(|canvas| Some((canvas, canvas.tiles?)));
        show(&tools.tiles, tiled.is_some());
        let facts = tiled.map(|(_, tiles)| text::tiles(&tiles));
        tools.tiles_facts.set_text_content(facts.as_deref());
        if let (Some((canvas, tiles)), Some(facts)) = (tiled, facts) {
            tools.tiles.set_attribute("aria-label", &facts).ok();
            self.draw_tiles(&tools.tiles, canvas, &tiles, true);
        }
    }

    /// Cuts the strip into its tiles, in their places. `apart`: each with its name, the global image after them.
    fn draw_tiles(&self, into: &HtmlElement, canvas: &Canvas, tiles: &Tiles, apart: bool) {
        let address = &canvas.address.0;
        if into.dataset().get("of").as_ref() == Some(address) {
            return;
        }
        into.dataset().set("of", address).ok();
        into.set_text_content(None);
        let columns = tiles.columns.max(1).to_string();
        into.style().set_property("--columns", &columns).ok();
        let count = tiles.count();
        let shown = if apart { count } else { count - 1 } as usize;
        for (at, name) in tiles.names().iter().enumerate().take(shown) {
            let words = if apart { name } else { "" };
            let Some(tile) = self.child(into, "span", words) else {
                continue;
            };
            let global = at as u32 + 1 == count;
            tile.set_class_name(if global { "tile global" } else { "tile" });
            let Ok(tile) = tile.dyn_into::<HtmlElement>() else {
                continue;
            };
            let down = 100.0 * at as f64 / f64::from(count - 1).max(1.0);
            let style = tile.style();
            for (property, value) in [
                ("background-image", format!("url(\"{address}\")")),
                ("background-size", format!("100% {}%", 100 * count)),
                ("background-position", format!("0 {down}%")),
            ] {
                style.set_property(property, &value).ok();
            }
        }
    }
}
