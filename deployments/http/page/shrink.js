// A worker that makes a picture smaller: {file, pixels, side} in, {blob, width, height} or {error} out.

self.onmessage = async ({ data: { file, pixels, side, bytes } }) => {
  try {
    self.postMessage(await shrunk(file, pixels, side, bytes));
  } catch {
    self.postMessage({ error: true });
  }
};

async function shrunk(file, pixels, side, bytes) {
  // Upright first, and only then smaller: browsers disagree about both at once.
  const upright = await createImageBitmap(file, { imageOrientation: "from-image" });
  const { width, height } = upright;
  let scale = Math.min(1, Math.sqrt(pixels / (width * height)), side / Math.max(width, height));
  for (;;) {
    const canvas = new OffscreenCanvas(Math.floor(width * scale), Math.floor(height * scale));
    const context = canvas.getContext("2d", { alpha: false });
    context.fillStyle = "white"; // behind what is transparent
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(upright, 0, 0, canvas.width, canvas.height);
    const blob = await canvas.convertToBlob({ type: file.type === "image/png" ? "image/png" : "image/jpeg", quality: 0.92 });
    if (blob.size <= bytes || scale < 0.05) {
      upright.close();
      return { blob, width: canvas.width, height: canvas.height };
    }
    scale *= Math.max(0.5, 0.95 * Math.sqrt(bytes / blob.size));
  }
}
