"""Naive float64 reference functions, written from the papers' formulas, against which fast code is compared.

Docstrings name these sources. What some of them leave open is said in the docstring of the function.

Alkhunaizi et al. 2022: "Suppressing poisoning attacks on federated learning for medical imaging", MICCAI.
Allouah et al. 2023a: "Fixing by mixing: a recipe for optimal Byzantine ML under heterogeneity", AISTATS.
Allouah et al. 2023b: "On the privacy-robustness-utility trilemma in distributed learning", ICML.
Allouah et al. 2025a: "Adaptive gradient clipping for robust federated learning", ICLR.
Allouah et al. 2025b: "Towards trustworthy federated learning with untrusted participants", ICML.
Bagdasaryan et al. 2020: "How to backdoor federated learning", AISTATS.
Baruch et al. 2019: "A little is enough: circumventing defenses for distributed learning", NeurIPS.
Benjamin et al. 2025: "FedSECA: sign election and coordinate-wise aggregation of gradients for Byzantine tolerant
    federated learning", CVPR Workshops (FedVision).
Bernstein et al. 2019: "signSGD with majority vote is communication efficient and fault tolerant", ICLR.
Blanchard et al. 2017: "Machine learning with adversaries: Byzantine tolerant gradient descent", NeurIPS.
Cao et al. 2021: "FLTrust: Byzantine-robust federated learning via trust bootstrapping", NDSS.
Eckart & Young 1936: "The approximation of one matrix by another of lower rank", Psychometrika.
El Mhamdi et al. 2018: "The hidden vulnerability of distributed learning in Byzantium", ICML.
Fang et al. 2020: "Local model poisoning attacks to Byzantine-robust federated learning", USENIX Security.
Farhadkhani et al. 2023: "Robust collaborative learning with linear gradient overhead", ICML.
Fung et al. 2020: "The limitations of federated learning in Sybil settings", RAID.
Guo et al. 2017: "On calibration of modern neural networks", ICML. (Guo, Pleiss, Sun & Weinberger.)
Guo et al. 2021: "SIREN: Byzantine-robust federated learning via proactive alarming", SoCC.
Gupta & Vaidya 2020: "Fault-tolerance in distributed optimization: the case of redundancy", PODC.
Hsu et al. 2019: "Measuring the effects of non-identical data distribution for federated visual classification".
Hu et al. 2022: "LoRA: low-rank adaptation of large language models", ICLR.
Iglewicz & Hoaglin 1993: "How to detect and handle outliers", ASQC Quality Press.
Kalajdzievski 2023: "A rank stabilization scaling factor for fine-tuning with LoRA".
Karimireddy et al. 2020: "SCAFFOLD: stochastic controlled averaging for federated learning", ICML.
Karimireddy et al. 2021: "Learning from history for Byzantine robust optimization", ICML.
Karimireddy et al. 2022: "Byzantine-robust learning on heterogeneous datasets via bucketing", ICLR.
Li et al. 2020: "COPOD: copula-based outlier detection", ICDM.
Li et al. 2024: "An experimental study of Byzantine-robust aggregation schemes in federated learning", IEEE TBD.
McMahan et al. 2017: "Communication-efficient learning of deep networks from decentralized data", AISTATS.
Nguyen et al. 2022: "FLAME: taming backdoors in federated learning", USENIX Security.
Özfatura et al. 2023: "Byzantines can also learn from history: fall of centered clipping in federated learning".
Pillutla et al. 2022: "Robust aggregation for federated learning", IEEE Trans. Signal Processing.
Rajput et al. 2019: "DETOX: a redundancy-based framework for faster and more robust gradient aggregation", NeurIPS.
Reddi et al. 2021: "Adaptive federated optimization", ICLR.
Sattler et al. 2020: "On the Byzantine robustness of clustered federated learning", ICASSP.
Shejwalkar & Houmansadr 2021: "Manipulating the Byzantine: optimizing model poisoning attacks and defenses for federated
    learning", NDSS.
Xia et al. 2019: "FABA: an algorithm for fast aggregation against Byzantine attacks in distributed neural
    networks", IJCAI.
Xie et al. 2018a: "Generalized Byzantine-tolerant SGD".
Xie et al. 2018b: "Phocas: dimensional Byzantine-resilient stochastic gradient descent".
Xie et al. 2019: "Zeno: distributed stochastic gradient descent with suspicion-based fault-tolerance", ICML.
Xie et al. 2020: "Fall of empires: breaking Byzantine-tolerant SGD by inner product manipulation", UAI.
Xie et al. 2025: "Model poisoning attacks to federated learning via multi-round consistency", CVPR.
Xu & Lyu 2021: "A reputation mechanism is all you need: collaborative fairness and adversarial robustness in federated
    learning".
Xu et al. 2022: "Byzantine-robust federated learning through collaborative malicious gradient filtering", ICDCS.
Xu et al. 2025: "Achieving Byzantine-resilient federated learning via layer-adaptive sparsified model
    aggregation", WACV.
Yadav et al. 2023: "TIES-merging: resolving interference when merging models", NeurIPS.
Yin et al. 2018: "Byzantine-robust distributed learning: towards optimal statistical rates", ICML.
Zhang et al. 2022: "FLDetector: defending federated learning against model poisoning attacks via detecting malicious
    clients", KDD.
Zhao et al. 2024: "A Huber loss minimization approach to Byzantine robust federated learning", AAAI.
DeSGD: momentum by class on the workers and aggregation class by class, as `fedward.rules.ClassWise` describes it.
"""
