"""Reads the text in a picture with RapidOCR (PP-OCRv4 on ONNX Runtime; the models are in the wheel)."""

from typing import Any

from spaces_worker_agent import Request


class Model:
    """Loaded once, then one picture after another."""

    def load(self) -> None:
        """Loads detector, classifier and recogniser: about a second."""
        # Here and not above: the import alone takes half a second, and only the handler's process needs it.
        from rapidocr_onnxruntime import RapidOCR

        self._read = RapidOCR(intra_op_num_threads=2)

    def handle(self, request: Request) -> dict[str, Any]:
        """The lines of the first picture, top to bottom, each with how sure the model is."""
        if not request.files:
            raise ValueError("send a picture")
        request.progress(10, "reading")
        found, _ = self._read(str(request.files[0].path))
        lines = [
            {"text": text, "confidence": round(float(sure), 3)} for _, text, sure in found or []
        ]
        return {"text": "\n".join(str(line["text"]) for line in lines), "lines": lines}
