// Turns a photograph from a file into the network's input: a square from its middle, scaled down by averaging.

const MOST_BYTES = 64 << 20;
const FINE = 8; // how many pixels per side are averaged into one, after the browser's own scaling

/** The error thrown if the file cannot be used. The message is for the reader. */
export class Unreadable extends Error {}

/** Read red, green and blue of `side` × `side` pixels, row by row. Throw Unreadable if the file is not a photograph. */
export async function readPhoto(file, side) {
  const name = file.name ? `“${file.name}”` : "This file";
  if (!file.size) throw new Unreadable(`${name} is empty.`);
  if (file.size > MOST_BYTES) throw new Unreadable(`${name} is larger than ${MOST_BYTES >> 20} MB. Choose a smaller one.`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    const kinds = "JPEG, PNG and WebP work.";
    throw new Unreadable(`Your browser cannot read ${name}: it is not a photograph, is damaged, or is too large. ${kinds}`);
  }
  const square = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [(bitmap.width - square) / 2, (bitmap.height - square) / 2];
  const fine = new OffscreenCanvas(FINE * side, FINE * side);
  const brush = fine.getContext("2d", { willReadFrequently: true });
  brush.fillStyle = "white"; // the background of transparent pixels
  brush.fillRect(0, 0, fine.width, fine.height);
  brush.imageSmoothingQuality = "high";
  brush.drawImage(bitmap, left, top, square, square, 0, 0, fine.width, fine.height);
  bitmap.close();
  return averageBlocks(brush.getImageData(0, 0, fine.width, fine.height).data, side);
}

/** Average the colours of each block of FINE × FINE pixels. */
function averageBlocks(pixels, side) {
  const sums = new Float64Array(3 * side * side);
  for (let i = 0; i < pixels.length / 4; i++) {
    const [row, column] = [Math.floor(i / (FINE * side) / FINE), Math.floor((i % (FINE * side)) / FINE)];
    for (let colour = 0; colour < 3; colour++) sums[3 * (row * side + column) + colour] += pixels[4 * i + colour];
  }
  return Uint8Array.from(sums, (sum) => Math.round(sum / FINE ** 2));
}
