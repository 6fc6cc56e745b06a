// A checkpoint on disk: one file, replaced as a whole, so that a process killed at any moment leaves the old or the new one.

import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, rmdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Checkpoint, CheckpointError, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts'

const FILE = 'checkpoint.safetensors'
const PART = '.part'

/** Throws CheckpointError `not-written`, and leaves the old one, where the disk is full or the folder cannot be made. */
function writeCheckpoint(folder: string, checkpoint: Checkpoint): void {
  const path = join(folder, FILE)
  const bytes = encodeCheckpoint(checkpoint)
  const made = mkdirSync(folder, { recursive: true })
  try {
    writePart(`${path}${PART}`, bytes)
    renameSync(`${path}${PART}`, path)
  } catch (error) {
    rmSync(`${path}${PART}`, { force: true })
    if (made !== undefined) rmSync(made, { recursive: true, force: true })
    throw new CheckpointError('not-written', `cannot write ${path}: ${(error as Error).message}`)
  }
}

function writePart(path: string, bytes: Uint8Array): void {
  const file = openSync(path, 'w')
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at)
    // On the disk before it takes the old one's place: a machine that loses power has one of the two as well.
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Null where the folder holds none. Throws CheckpointError `malformed`, naming the file. */
function readCheckpoint(folder: string): Checkpoint | null {
  const path = join(folder, FILE)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    return decodeCheckpoint(bytes)
  } catch (error) {
    if (error instanceof CheckpointError) throw new CheckpointError(error.code, `${path}: ${error.message}`)
    throw error
  }
}

/** Removes the checkpoint, and the folder if nothing else is in it. */
function removeCheckpoint(folder: string): void {
  const path = join(folder, FILE)
  // A part is left where a process was killed while it wrote.
  for (const file of [path, `${path}${PART}`]) rmSync(file, { force: true })
  try {
    rmdirSync(folder)
  } catch {
    // Something of the user's is in it, or it was never made.
  }
}

export { readCheckpoint, removeCheckpoint, writeCheckpoint }
