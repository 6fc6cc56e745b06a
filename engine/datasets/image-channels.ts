// Which images give a network of so many input channels what it takes.

/** Inputs of one channel are grey, those of three sRGB. */
const COLOUR_INPUTS = new Set([1, 3])
/** Channels of an image that has a colour: red, green, blue and alpha at most. */
const MOST_COLOUR_CHANNELS = 4

/** Whether images become grey or sRGB for the input, instead of staying the bands that they are. */
function isColourInput(channels: number): boolean {
  return COLOUR_INPUTS.has(channels)
}

/** What is wrong with an image of so many channels for an input of `wanted`; null: nothing. */
function channelMismatch(channels: number, wanted: number): string | null {
  if (isColourInput(wanted) ? channels <= MOST_COLOUR_CHANNELS : channels === wanted) return null
  return `the space takes images of ${wanted} channels, it has ${channels}`
}

export { channelMismatch, isColourInput }
