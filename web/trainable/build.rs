//! Tells the linker to leave names and debugging information out of the wasm that the browser downloads, but to
//! keep the section that says which wasm features are used: wasm-bindgen reads it. (`strip` of the profile would
//! take that section away too.)

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-bins=--strip-all");
        println!("cargo::rustc-link-arg-bins=--keep-section=target_features");
    }
}
