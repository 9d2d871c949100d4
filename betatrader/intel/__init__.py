"""Forecasts. Nothing here is imported by trading; numpy and onnxruntime load only here.

repository  the models' folder: manifest, digests, what each model takes and answers
inference   ONNX sessions on few threads and little memory
forecaster  requests from the bus, in batches, to forecasts on the bus
examples    training examples from the generated market
train       fits the models that ship, and writes them as ONNX with a manifest
models/     the models that ship
"""
