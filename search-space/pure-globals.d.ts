// What pure code may use beyond the language: standards that Workers, Node and browsers all have, without clock or I/O.
// Only the pure layers' compiler settings include this file.

declare function structuredClone<T>(value: T): T

declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>
}

declare class TextDecoder {
  decode(bytes: Uint8Array): string
}
