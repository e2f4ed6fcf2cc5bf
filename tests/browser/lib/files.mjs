// Test files made while testing: pictures of unusual kinds and broken model folders. What cannot be made in a few
// lines (a CMYK JPEG, an animated GIF, the receipt itself) is committed in pictures/, with the script that made it.
import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';

const pictures = new URL('../pictures/', import.meta.url);

/** A committed picture. */
export const picture = (name) => readFileSync(new URL(name, pictures));

/** A file as Playwright's setInputFiles takes it. */
export const file = (name, buffer) => ({ name, mimeType: mediaType(name), buffer });

export function mediaType(name) {
  const types = { png: 'image/png', jpg: 'image/jpeg', gif: 'image/gif', txt: 'text/plain' };
  return types[name.split('.').pop()] ?? 'application/octet-stream';
}

/** Pixels of a PNG or JPEG: { width, height, rgb(x, y) }. */
export function decode(bytes) {
  const isPng = bytes[0] === 0x89;
  const { width, height, data } = isPng ? PNG.sync.read(bytes) : jpeg.decode(bytes, { maxMemoryUsageInMB: 2048 });
  return { width, height, rgb: (x, y) => [...data.subarray((y * width + x) * 4, (y * width + x) * 4 + 3)] };
}

/** A PNG turned by 90 degrees counter-clockwise: it reads again when turned clockwise. */
export function turned(bytes) {
  const from = PNG.sync.read(bytes);
  const to = new PNG({ width: from.height, height: from.width });
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < to.width; x++) {
      const at = (x * from.width + from.width - 1 - y) * 4;
      from.data.copy(to.data, (y * to.width + x) * 4, at, at + 4);
    }
  }
  return PNG.sync.write(to);
}

/** A PNG of one grey channel whose rows come from `row(y)`; made without holding the whole picture. */
export function greyPng(width, height, row) {
  const raw = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) row(y, raw.subarray(y * (width + 1) + 1, (y + 1) * (width + 1)));
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const chunks = [['IHDR', header], ['IDAT', deflateSync(raw, { level: 1 })], ['IEND', Buffer.alloc(0)]];
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), ...chunks.map(([type, data]) => chunk(type, data))]);
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** The same JPEG with an EXIF orientation (1 to 8) put before everything else. */
export function withOrientation(bytes, orientation) {
  const tiff = Buffer.alloc(26);
  tiff.write('II*\0', 0, 'latin1');
  tiff.writeUInt32LE(8, 4); // the directory follows
  tiff.writeUInt16LE(1, 8); // one entry
  tiff.writeUInt16LE(0x0112, 10); // Orientation
  tiff.writeUInt16LE(3, 12); // SHORT
  tiff.writeUInt32LE(1, 14);
  tiff.writeUInt16LE(orientation, 18);
  const payload = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]);
  const segment = Buffer.from([0xff, 0xe1, 0, 0]);
  segment.writeUInt16BE(payload.length + 2, 2);
  return Buffer.concat([bytes.subarray(0, 2), segment, payload, bytes.subarray(2)]);
}

/** A safetensors file with its header changed by `change`; the data stays. */
export function editSafetensors(bytes, change) {
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const data = change(header, bytes.subarray(8 + length)) ?? bytes.subarray(8 + length);
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text, data]);
}
