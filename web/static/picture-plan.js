// The model's eye takes tiles of 448 pixels; what is larger is only scaled down again.
const TILE = 448;

/**
 * Which pictures the model is sent: one a second, as it looks once a second; with `refresh` four a quarter of a second
 * apart, in two rows of one picture; with `hd` larger.
 *
 * @param {{refresh: boolean, hd: boolean}} wishes
 * @returns {{everyMs: number, cells: 1 | 4, side: number, quality: number}} `side` is the longer side of one picture in
 *   pixels, `quality` that of the JPEG, 0 to 1
 */
export function picturePlan({ refresh, hd }) {
  return {
    everyMs: refresh ? 250 : 1000,
    cells: refresh ? 4 : 1,
    side: hd ? 2 * TILE : TILE,
    quality: hd ? 0.85 : 0.75,
  };
}

/**
 * @param {{width: number, height: number}} source size of the camera's picture
 * @param {number} side the longer side wanted
 * @returns {{width: number, height: number}} never larger than the source, whole pixels, at least 1
 */
export function fitted({ width, height }, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Where the picture with this number goes in a stack of `cells`, in units of one picture. */
export function cellOf(number, cells) {
  const columns = cells === 1 ? 1 : 2;
  return { column: number % columns, row: Math.floor(number / columns) };
}
