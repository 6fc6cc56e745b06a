// QR codes for the status page, which is not bundled itself.

import { encode } from 'uqr'

/** Rows of modules, true is dark, with the quiet zone that readers need. */
function encodeQr(text: string): boolean[][] {
  return encode(text, { ecc: 'M', border: 3 }).data
}

export { encodeQr }
