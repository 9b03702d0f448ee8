"""Reads the text in a picture with RapidOCR (PP-OCRv6 on ONNX Runtime; the models are in the wheel)."""

from typing import Any

from spaces_worker_agent import Request


class Model:
    """Loaded once, then one picture after another."""

    def load(self) -> None:
        """Loads detector, classifier and recogniser: about a second."""
        # Here and not above: the import alone takes half a second, and only the handler's process needs it.
        from rapidocr import RapidOCR

        threads = "EngineConfig.onnxruntime.intra_op_num_threads"
        self._read = RapidOCR(params={"Global.log_level": "warning", threads: 2})

    def handle(self, request: Request) -> dict[str, Any]:
        """The lines of the first picture, top to bottom, each with how sure the model is."""
        if not request.files:
            raise ValueError("send a picture")
        request.progress(10, "reading")
        found: Any = self._read(str(request.files[0].path))
        texts, scores = found.txts or (), found.scores or ()
        lines = [
            {"text": text, "confidence": round(float(sure), 3)}
            for text, sure in zip(texts, scores, strict=True)
        ]
        return {"text": "\n".join(texts), "lines": lines}
